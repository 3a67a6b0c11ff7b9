// The GAN arena: a GAN on points of the plane that trains in the reader's browser.
// One module without dependencies: a static page mounts it, and Jupyter loads it as an anywidget.
// Everything above "The view" is pure and tested against PyTorch; nothing there knows of a page.

// ---------------------------------------------------------------------------------------- random numbers

/** A generator of reproducible random numbers: sfc32 for uniforms, Box-Muller for normals. */
export function random(seed) {
  let a = 0x9e3779b9, b = 0x243f6a88, c = 0xb7e15162, d = (seed >>> 0) ^ 0xdeadbeef, spare = null;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 16; i++) next();
  const uniform = () => (next() + 0.5) / 4294967296;
  const normal = () => {
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(uniform())), angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return { uniform, normal, below: (n) => Math.floor(uniform() * n) };
}

/** n latent vectors from the standard Gaussian in the plane, one after another. */
export function latent(n, rng) {
  const z = new Float64Array(2 * n);
  for (let i = 0; i < 2 * n; i++) z[i] = rng.normal();
  return z;
}

// -------------------------------------------------------------------------------------------------- data

const around = (n, f) => Array.from({ length: n }, (_, i) => f(i));

// centres: what counts as a mode or, where the law has none, as a part of it; spread: standard deviation.
export const DATA = {
  ring: {
    label: "ring of 8", modes: true, spread: 0.07,
    centres: around(8, (i) => [1.4 * Math.cos((Math.PI * i) / 4), 1.4 * Math.sin((Math.PI * i) / 4)]),
  },
  grid: {
    label: "grid of 25", modes: true, spread: 0.05,
    centres: around(25, (i) => [0.75 * (i % 5) - 1.5, 0.75 * Math.floor(i / 5) - 1.5]),
  },
  moons: {
    label: "two moons", modes: false, spread: 0.07,
    centres: around(16, (i) => {
      const t = (Math.PI * ((i % 8) + 0.5)) / 8;
      return i < 8 ? [Math.cos(t) - 0.5, Math.sin(t) - 0.25] : [0.5 - Math.cos(t), 0.25 - Math.sin(t)];
    }).map(([x, y]) => [1.1 * x, 1.1 * y]),
    draw: (rng) => {
      const t = Math.PI * rng.uniform(), first = rng.uniform() < 0.5;
      const [x, y] = first ? [Math.cos(t) - 0.5, Math.sin(t) - 0.25] : [0.5 - Math.cos(t), 0.25 - Math.sin(t)];
      return [1.1 * x, 1.1 * y];
    },
  },
  line: {
    label: "line", modes: false, spread: 0.04,
    centres: around(10, (i) => [0.3 * (i - 4.5), 0.18 * (i - 4.5)]),
    draw: (rng) => {
      const t = 3 * rng.uniform() - 1.5;
      return [t, 0.6 * t];
    },
  },
  drawn: { label: "drawn by you", modes: false, spread: 0.06, centres: [] },
};

/** n points of a data set as x, y, x, y, ...; `drawn` are the reader's own centres. */
export function sample(name, n, rng, drawn = []) {
  const { centres, spread, draw } = DATA[name], points = new Float64Array(2 * n);
  const from = name === "drawn" ? drawn : centres;
  for (let i = 0; i < n; i++) {
    const [x, y] = draw ? draw(rng) : from.length ? from[rng.below(from.length)] : [0, 0];
    points[2 * i] = x + spread * rng.normal();
    points[2 * i + 1] = y + spread * rng.normal();
  }
  return points;
}

/** How many centres get at least a quarter of their fair share of the points, within `reach`. */
export function covered(points, centres, reach) {
  const hits = new Float64Array(centres.length), n = points.length / 2;
  for (let i = 0; i < n; i++) {
    let best = reach * reach, at = -1;
    centres.forEach(([x, y], j) => {
      const d = (points[2 * i] - x) ** 2 + (points[2 * i + 1] - y) ** 2;
      if (d < best) [best, at] = [d, j];
    });
    if (at >= 0) hits[at] += 1;
  }
  return hits.filter((h) => h >= (0.25 * n) / centres.length).length;
}

// ---------------------------------------------------------------------------------------------- networks

// The three products below go four rows at a time: most of their time is reading and writing memory.

// y = x W' + b for n rows
function affine(x, W, b, y, n, p, q) {
  for (let i = 0; i < n; i++) {
    const row = i * p;
    let o = 0;
    for (; o + 3 < q; o += 4) {
      let s0 = b[o], s1 = b[o + 1], s2 = b[o + 2], s3 = b[o + 3];
      let w0 = o * p, w1 = w0 + p, w2 = w1 + p, w3 = w2 + p;
      for (let j = row; j < row + p; j++) {
        const value = x[j];
        s0 += W[w0++] * value;
        s1 += W[w1++] * value;
        s2 += W[w2++] * value;
        s3 += W[w3++] * value;
      }
      const at = i * q + o;
      y[at] = s0;
      y[at + 1] = s1;
      y[at + 2] = s2;
      y[at + 3] = s3;
    }
    for (; o < q; o++) {
      let s = b[o];
      for (let j = 0; j < p; j++) s += W[o * p + j] * x[row + j];
      y[i * q + o] = s;
    }
  }
}

// dx = dy W
function transposed(dy, W, dx, n, p, q) {
  for (let i = 0; i < n; i++) {
    const row = i * p, from = i * q;
    for (let j = row; j < row + p; j++) dx[j] = 0;
    let o = 0;
    for (; o + 3 < q; o += 4) {
      const d0 = dy[from + o], d1 = dy[from + o + 1], d2 = dy[from + o + 2], d3 = dy[from + o + 3];
      let w0 = o * p, w1 = w0 + p, w2 = w1 + p, w3 = w2 + p;
      for (let j = row; j < row + p; j++) dx[j] += d0 * W[w0++] + d1 * W[w1++] + (d2 * W[w2++] + d3 * W[w3++]);
    }
    for (; o < q; o++) for (let j = 0; j < p; j++) dx[row + j] += dy[from + o] * W[o * p + j];
  }
}

// dW += dy' x and, where given, db += the sum of dy
function outer(dy, x, dW, db, n, p, q) {
  let i = 0;
  for (; i + 3 < n; i += 4) {
    for (let o = 0; o < q; o++) {
      const at = i * q + o, d0 = dy[at], d1 = dy[at + q], d2 = dy[at + 2 * q], d3 = dy[at + 3 * q], w = o * p;
      if (db) db[o] += d0 + d1 + (d2 + d3);
      let x0 = i * p, x1 = x0 + p, x2 = x1 + p, x3 = x2 + p;
      for (let j = w; j < w + p; j++) dW[j] += d0 * x[x0++] + d1 * x[x1++] + (d2 * x[x2++] + d3 * x[x3++]);
    }
  }
  for (; i < n; i++) {
    for (let o = 0; o < q; o++) {
      const d = dy[i * q + o];
      if (db) db[o] += d;
      for (let j = 0; j < p; j++) dW[o * p + j] += d * x[i * p + j];
    }
  }
}

// Faster than Math.tanh; the absolute error stays below 4e-16.
const tanhAll = (a, n) => {
  for (let i = 0; i < n; i++) a[i] = 1 - 2 / (1 + Math.exp(2 * a[i]));
};

/**
 * A fully connected network with two hidden layers of tanh units, in float64:
 * a1 = tanh(W1 x + b1), a2 = tanh(W2 a1 + b2), output W3 a2 + b3. Weights lie as in torch.nn.Linear.
 */
export class Network {
  constructor(inputs, width, outputs, rng) {
    this.inputs = inputs;
    this.width = width;
    this.outputs = outputs;
    this.layout = [
      ["W1", width, inputs], ["b1", width, 1], ["W2", width, width],
      ["b2", width, 1], ["W3", outputs, width], ["b3", outputs, 1],
    ];
    this.size = this.layout.reduce((sum, [, rows, columns]) => sum + rows * columns, 0);
    for (const name of ["params", "grads", "m", "v"]) this[name] = new Float64Array(this.size);
    this.t = 0;
    let at = 0;
    for (const [name, rows, columns] of this.layout) {
      this[name] = this.params.subarray(at, at + rows * columns);
      this["d" + name] = this.grads.subarray(at, at + rows * columns);
      // Normals of variance 1 / inputs keep the size of what goes through.
      if (rng && columns > 1) this[name].forEach((_, i, W) => (W[i] = rng.normal() / Math.sqrt(columns)));
      at += rows * columns;
    }
    this.rows = 0;
  }

  // Memory for batches of n rows; it only ever grows.
  reserve(n) {
    if (n <= this.rows) return;
    this.rows = n;
    const h = n * this.width;
    for (const name of ["a1", "a2", "g1", "g2", "d1", "d2", "e1", "e2", "u1", "u2"]) this[name] = new Float64Array(h);
    this.out = new Float64Array(n * this.outputs);
    this.dx = new Float64Array(n * this.inputs);
    this.e0 = new Float64Array(n * this.inputs);
    this.one = new Float64Array(n * this.outputs).fill(1);
  }

  /** Output for n rows of x; the result is overwritten by the next call. */
  forward(x, n) {
    this.reserve(n);
    const { a1, a2, width, out } = this;
    affine(x, this.W1, this.b1, a1, n, this.inputs, width);
    tanhAll(a1, n * width);
    affine(a1, this.W2, this.b2, a2, n, width, width);
    tanhAll(a2, n * width);
    affine(a2, this.W3, this.b3, out, n, width, this.outputs);
    return out;
  }

  // From d loss / d output back to d1 and d2, the derivatives by what goes into the tanhs, and dx.
  // g1 and g2 keep the derivatives by what comes out of them, which the penalty needs.
  propagate(dout, n) {
    const { a1, a2, g1, g2, d1, d2, width } = this;
    transposed(dout, this.W3, g2, n, width, this.outputs);
    for (let i = 0; i < n * width; i++) d2[i] = g2[i] * (1 - a2[i] * a2[i]);
    transposed(d2, this.W2, g1, n, width, width);
    for (let i = 0; i < n * width; i++) d1[i] = g1[i] * (1 - a1[i] * a1[i]);
    transposed(d1, this.W1, this.dx, n, this.inputs, width);
    return this.dx;
  }

  /** After forward(x, n): the derivative of a loss by x, given that by the output. */
  inputGradient(dout, n) {
    return this.propagate(dout, n);
  }

  /** After forward(x, n): add the derivative of a loss by the parameters to `grads`. */
  accumulate(x, dout, n) {
    this.propagate(dout, n);
    outer(dout, this.a2, this.dW3, this.db3, n, this.width, this.outputs);
    outer(this.d2, this.a1, this.dW2, this.db2, n, this.width, this.width);
    outer(this.d1, x, this.dW1, this.db1, n, this.inputs, this.width);
  }

  /**
   * After forward(x, n) of a network with one output s: add the gradient of
   * strength / 2 * mean |ds/dx|^2 to `grads` and return that penalty.
   * The gradient ds/dx is itself a backward pass; this walks through it once more, in reverse:
   * v = W1' d1, d1 = g1 f'(u1), g1 = W2' d2, d2 = g2 f'(u2), g2 = W3', with f = tanh and f'' = -2 f f'.
   */
  accumulatePenalty(x, n, strength) {
    const { a1, a2, g1, g2, d1, d2, e0, e1, e2, u1, u2, width, inputs } = this;
    const v = this.propagate(this.one, n);
    let penalty = 0;
    for (let i = 0; i < n * inputs; i++) {
      penalty += v[i] * v[i];
      e0[i] = (strength / n) * v[i];
    }
    // Derivatives by d1 (in e1), then by u1 through f'(u1) (in u1) and by g1 (in e1 again).
    outer(d1, e0, this.dW1, null, n, inputs, width);
    for (let i = 0; i < n; i++) {
      for (let o = 0; o < width; o++) {
        let sum = 0;
        for (let j = 0; j < inputs; j++) sum += this.W1[o * inputs + j] * e0[i * inputs + j];
        const at = i * width + o, a = a1[at], slope = 1 - a * a;
        u1[at] = sum * g1[at] * -2 * a * slope;
        e1[at] = sum * slope;
      }
    }
    // The same one layer up.
    outer(d2, e1, this.dW2, null, n, width, width);
    affine(e1, this.W2, ZEROS(width), e2, n, width, width);
    for (let i = 0; i < n; i++) {
      for (let o = 0; o < width; o++) {
        const at = i * width + o, a = a2[at], slope = 1 - a * a;
        u2[at] = e2[at] * g2[at] * -2 * a * slope;
        this.dW3[o] += e2[at] * slope;
      }
    }
    // What reached u1 and u2 goes on through the forward pass.
    outer(u2, a1, this.dW2, this.db2, n, width, width);
    transposed(u2, this.W2, e2, n, width, width);
    for (let i = 0; i < n * width; i++) u1[i] += e2[i] * (1 - a1[i] * a1[i]);
    outer(u1, x, this.dW1, this.db1, n, inputs, width);
    return (strength / (2 * n)) * penalty;
  }

  /** One step of Adam down the gradient in `grads` (Kingma and Ba 2015, Algorithm 1). */
  adam(rate, [beta1, beta2] = BETAS, epsilon = 1e-8) {
    const { params, grads, m, v } = this;
    this.t += 1;
    const c1 = 1 - beta1 ** this.t, c2 = Math.sqrt(1 - beta2 ** this.t);
    for (let i = 0; i < this.size; i++) {
      const g = grads[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      params[i] -= ((rate / c1) * m[i]) / (Math.sqrt(v[i]) / c2 + epsilon);
    }
  }

  clip(limit) {
    const { params } = this;
    for (let i = 0; i < this.size; i++) params[i] = Math.min(limit, Math.max(-limit, params[i]));
  }
}

const BETAS = [0.5, 0.999];
const zeros = new Map();
const ZEROS = (n) => zeros.get(n) ?? zeros.set(n, new Float64Array(n)).get(n);

// ------------------------------------------------------------------------------------------------ losses

export const sigmoid = (s) => (s >= 0 ? 1 / (1 + Math.exp(-s)) : Math.exp(s) / (1 + Math.exp(s)));
export const softplus = (s) => Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s)));

// Losses by the logit or score s of one sample, and their slopes. D lowers real(s) + fake(s), G lowers generator(s).
const clerk = {
  real: (s) => softplus(-s), dReal: (s) => -sigmoid(-s),
  fake: softplus, dFake: sigmoid,
};
export const LOSSES = {
  minimax: { label: "minimax", ...clerk, generator: (s) => -softplus(s), dGenerator: (s) => -sigmoid(s) },
  nonsaturating: {
    label: "non-saturating", ...clerk, generator: (s) => softplus(-s), dGenerator: (s) => -sigmoid(-s),
  },
  wasserstein: {
    label: "Wasserstein, clipped",
    real: (s) => -s, dReal: () => -1, fake: (s) => s, dFake: () => 1,
    generator: (s) => -s, dGenerator: () => -1,
  },
};

export const PENALTY = 1; // weight of R1, gamma in Mescheder, Geiger and Nowozin (2018)
export const LIMIT = 0.2; // a Wasserstein critic's weights are clipped to [-LIMIT, LIMIT]

/** The two players and how one step of each goes. Batches are given, so that anyone can repeat a run. */
export class Game {
  constructor({ width, loss, r1, lr_d, lr_g }, rng) {
    this.G = new Network(2, width, 2, rng);
    this.D = new Network(2, width, 1, rng);
    // The first generated points lie close together, where few data are.
    this.G.W3.forEach((weight, i, W) => (W[i] = 0.3 * weight));
    Object.assign(this, { loss, r1, lr_d, lr_g });
    this.dout = new Float64Array(0);
  }

  // Mean of a loss over the last n outputs of D, its slopes by them left in `dout`.
  judge(value, slope, n) {
    if (this.dout.length < n) this.dout = new Float64Array(n);
    const s = this.D.out;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      sum += value(s[i]);
      this.dout[i] = slope(s[i]) / n;
    }
    return sum / n;
  }

  /** The discriminator's loss without and with the penalty; its gradient is left in D.grads. */
  discriminatorGradient(real, z) {
    const { G, D } = this, loss = LOSSES[this.loss], n = real.length / 2, m = z.length / 2;
    D.grads.fill(0);
    const fake = G.forward(z, m); // a constant here: G's gradient is never asked for
    D.forward(fake, m);
    let value = this.judge(loss.fake, loss.dFake, m);
    D.accumulate(fake, this.dout, m);
    D.forward(real, n);
    value += this.judge(loss.real, loss.dReal, n);
    D.accumulate(real, this.dout, n);
    return { value, total: value + (this.r1 ? D.accumulatePenalty(real, n, PENALTY) : 0) };
  }

  /** The generator's loss; its gradient is left in G.grads, that by each generated point in D.dx. */
  generatorGradient(z) {
    const { G, D } = this, loss = LOSSES[this.loss], n = z.length / 2;
    G.grads.fill(0);
    D.forward(G.forward(z, n), n);
    const value = this.judge(loss.generator, loss.dGenerator, n);
    G.accumulate(z, D.inputGradient(this.dout, n), n);
    return value;
  }

  discriminatorStep(real, z) {
    const { value } = this.discriminatorGradient(real, z);
    this.D.adam(this.lr_d);
    if (this.loss === "wasserstein") this.D.clip(LIMIT);
    return value;
  }

  generatorStep(z) {
    const value = this.generatorGradient(z);
    this.G.adam(this.lr_g);
    return value;
  }
}

// ---------------------------------------------------------------------------------------------- settings

const number = (label, initial, min, max, whole = false) => ({ label, initial, min, max, whole });

// What can be set, in the page's address and from a notebook alike.
export const SETTINGS = {
  data: { label: "Data", initial: "ring", choices: Object.keys(DATA) },
  drawn: { label: "Drawn points", initial: "" },
  loss: { label: "Loss", initial: "nonsaturating", choices: Object.keys(LOSSES) },
  r1: { label: "R1 penalty", initial: false },
  lr_d: number("Discriminator’s learning rate", 0.003, 1e-5, 1),
  lr_g: number("Generator’s learning rate", 0.001, 1e-5, 1),
  k: number("Discriminator steps k", 1, 1, 10, true),
  batch: number("Batch size", 64, 8, 256, true),
  width: number("Width", 24, 4, 64, true),
  seed: number("Seed", 1, 0, 999999, true),
  r1_at: number("R1 from step", 0, 0, 20000, true),
  steps: number("Steps", 0, 0, 20000, true),
};

export const DEFAULTS = Object.fromEntries(Object.entries(SETTINGS).map(([key, s]) => [key, s.initial]));

/** Each preset shows one lesson; `look` says what to look at, `then` what to try where settings can be changed. */
export const PRESETS = {
  healthy: {
    label: "Healthy run", settings: {},
    look: "Watch the orange crosses. They start in one heap and reach all eight clusters within some 1500 steps, while V stays near −log 4: neither player wins.",
  },
  vanishing: {
    label: "Vanishing gradients", settings: { loss: "minimax", lr_d: 0.01, k: 5, lr_g: 0.0001 },
    look: "The discriminator wins at once: V goes to 0 and the arrows shrink to nothing. The generator is told nothing and stays where it is.",
    then: " Then choose the non-saturating loss under Settings: the arrows are back.",
  },
  collapse: {
    label: "Mode collapse", settings: { lr_d: 0.001, lr_g: 0.01 },
    look: "The generator is ten times faster. It puts all points where D is largest just now, D lowers that place, and the heap moves on: two clusters at a time at most, often none.",
  },
  oscillation: {
    label: "Oscillation", settings: { data: "drawn", drawn: "sntnspqnsm", loss: "wasserstein", lr_g: 0.003 },
    look: "One small cluster, and still no rest: the critic points past the data, the heap overshoots, the critic turns round. The heap swings about the cluster and both losses swing with it.",
  },
  recovery: {
    label: "Recovery with R1", settings: { data: "drawn", drawn: "sntnspqnsm", loss: "wasserstein", lr_g: 0.003, r1_at: 500 },
    look: "The same swinging until step 500. From there the R1 penalty flattens the critic at the data: the swings die out and the points settle in the cluster.",
  },
};

const plain = (value) => (typeof value === "number" ? String(+value.toPrecision(6)) : String(value));

/** Settings from what an address or a notebook says, and in words what had to be left out: there the present ones stay. */
export function readSettings(raw, present = DEFAULTS) {
  const settings = { ...present }, problems = [];
  const preset = raw.preset ?? "";
  if (preset && !Object.hasOwn(PRESETS, preset)) {
    problems.push(`There is no preset “${preset}”; there are ${Object.keys(PRESETS).join(", ")}.`);
  } else if (preset) Object.assign(settings, DEFAULTS, PRESETS[preset].settings);
  for (const [key, { label, initial, choices, min, max, whole }] of Object.entries(SETTINGS)) {
    const value = raw[key];
    if (value === undefined || value === null) continue;
    const reject = (wanted) =>
      problems.push(`${label}: “${String(value).slice(0, 40)}” is not ${wanted}; ${plain(settings[key]) || "none"} is used.`);
    if (key === "drawn") {
      if (/^([\w-]{2}){0,200}$/.test(value)) settings.drawn = value;
      else reject("a drawing");
    } else if (choices) {
      if (choices.includes(value)) settings[key] = value;
      else reject(`one of ${choices.join(", ")}`);
    } else if (typeof initial === "boolean") {
      if (["true", "1", "false", "0"].includes(String(value))) settings[key] = ["true", "1"].includes(String(value));
      else reject("1 or 0");
    } else {
      const x = typeof value === "string" && !value.trim() ? NaN : Number(value);
      if (x >= min && x <= max && (!whole || Number.isInteger(x))) settings[key] = x;
      else reject(`a ${whole ? "whole " : ""}number from ${plain(min)} to ${plain(max)}`);
    }
  }
  return { settings, problems };
}

/** The same settings as an address holds them: only what differs from the default. */
export function writeSettings(settings) {
  const differs = Object.keys(DEFAULTS).filter((key) => settings[key] !== DEFAULTS[key]);
  return Object.fromEntries(
    differs
      .filter((key) => key !== "drawn" || settings.data === "drawn")
      .map((key) => [key, settings[key] === true ? "1" : plain(settings[key])]),
  );
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VIEW = 2.1; // the picture shows [-VIEW, VIEW] in both directions

/** The reader's drawing as text, two letters a point, and back. */
export const encodeDrawing = (points) =>
  points.flat().map((x) => LETTERS[Math.max(0, Math.min(63, Math.round(((x + VIEW) / (2 * VIEW)) * 64 - 0.5)))]).join("");
export const decodeDrawing = (text) =>
  Array.from(text.match(/../g) ?? [], (pair) =>
    Array.from(pair, (letter) => ((LETTERS.indexOf(letter) + 0.5) / 64) * 2 * VIEW - VIEW));

// ----------------------------------------------------------------------------------------------- one run

const SHOWN = 256; // points of each kind in the picture

/** A training run: who moves next, what was measured, and what the picture needs. */
export class Run {
  constructor(settings) {
    this.restart(settings);
  }

  restart(settings) {
    this.rng = random(settings.seed);
    this.game = new Game(settings, this.rng);
    this.shownZ = latent(SHOWN, random(settings.seed + 1));
    Object.assign(this, { turn: 0, steps: 0, value: NaN, loss: NaN, history: [], stride: 1, fresh: 0, sums: [0, 0, 0] });
    this.apply(settings);
  }

  /** Take over everything but width and seed, which need a restart. */
  apply(settings) {
    this.settings = { ...settings };
    const { loss, lr_d, lr_g, data, drawn } = settings;
    Object.assign(this.game, { loss, lr_d, lr_g, r1: this.penalised() });
    const law = data + drawn;
    if (law !== this.law) {
      this.law = law;
      this.points = decodeDrawing(drawn);
      this.centres = data === "drawn" ? this.points : DATA[data].centres;
      this.reach = DATA[data].modes ? 3 * DATA[data].spread : 0.2;
      this.shownReal = sample(data, SHOWN, random(2), this.points);
    }
  }

  penalised() {
    const { r1, r1_at } = this.settings;
    return r1 || (r1_at > 0 && this.steps >= r1_at);
  }

  discriminator() {
    const { data, batch } = this.settings;
    const real = sample(data, batch, this.rng, this.points);
    this.value = -this.game.discriminatorStep(real, latent(batch, this.rng));
    this.turn += 1;
    return this.check();
  }

  generator() {
    this.loss = this.game.generatorStep(latent(this.settings.batch, this.rng));
    this.turn = 0;
    this.steps += 1;
    this.game.r1 = this.penalised();
    this.record();
    return this.check();
  }

  /** The next update in turn: k of the discriminator, then one of the generator. */
  advance() {
    return this.turn < this.settings.k ? this.discriminator() : this.generator();
  }

  // What went wrong in numbers; nothing is trained on after that.
  check() {
    const sound = (x) => Math.abs(x) < 1e12;
    const worst = ({ params }) => params.reduce((sum, x) => sum + Math.abs(x), 0);
    if ((!Number.isNaN(this.value) && !sound(this.value)) || (this.turn === 0 && !sound(this.loss))) this.broken = true;
    else if (this.turn === 0 && this.steps % 50 === 0) this.broken = !sound(worst(this.game.G)) || !sound(worst(this.game.D));
    return !this.broken;
  }

  // Both losses over time; when there are many, neighbours are averaged.
  record() {
    this.sums[0] += this.value;
    this.sums[1] += this.loss;
    this.fresh += 1;
    if (this.fresh < this.stride) return;
    this.history.push([this.steps, this.sums[0] / this.fresh, this.sums[1] / this.fresh]);
    this.sums = [0, 0, 0];
    this.fresh = 0;
    if (this.history.length < 600) return;
    const pairs = this.history.length / 2;
    this.history = around(pairs, (i) => {
      const [a, b] = [this.history[2 * i], this.history[2 * i + 1]];
      return [b[0], (a[1] + b[1]) / 2, (a[2] + b[2]) / 2];
    });
    this.stride *= 2;
  }

  /** Generated points and, for each, the step that the generator's loss would have it take. */
  generated() {
    const { game } = this, loss = LOSSES[game.loss];
    const points = game.G.forward(this.shownZ, SHOWN).slice(0, 2 * SHOWN);
    const scores = game.D.forward(points, SHOWN).slice(0, SHOWN);
    const pulls = game.D.inputGradient(scores.map((s) => -loss.dGenerator(s)), SHOWN).slice(0, 2 * SHOWN);
    let pull = 0;
    for (let i = 0; i < SHOWN; i++) pull += Math.hypot(pulls[2 * i], pulls[2 * i + 1]) / SHOWN;
    return { points, scores, pulls, pull, covered: covered(points, this.centres, this.reach) };
  }
}

// ---------------------------------------------------------------------------------------------- the view

// As in gancourse.figures: each keeps a contrast of 3 against a light and a dark page.
const BLUE = [31, 119, 180], ORANGE = [209, 96, 28], VIOLET = "#7a5ad0", GREEN = "#0f8a6d";
const rgb = (colour, alpha = 1) => `rgb(${colour.join(" ")} / ${alpha})`;

const STYLE = `
.ga { --ga-line: color-mix(in srgb, currentColor 30%, transparent); container-type: inline-size; font-size: .92rem; line-height: 1.4; margin: 1rem 0; text-align: left; }
.ga *, .ga *::before { box-sizing: border-box; }
.ga p, .ga dl, .ga ul { margin: 0; padding: 0; }
.ga [hidden] { display: none !important; }
.ga-row { align-items: center; display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 .6rem; }
.ga button, .ga select, .ga input[type=number] { background: transparent; border: 1px solid color-mix(in srgb, currentColor 55%, transparent); border-radius: .35rem; color: inherit; font: inherit; min-height: 2.25rem; padding: .25rem .7rem; }
.ga select option { background: Canvas; color: CanvasText; }
.ga button { cursor: pointer; }
.ga button:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
.ga button[aria-pressed=true] { box-shadow: inset 0 0 0 2px currentColor; font-weight: 650; }
.ga button.ga-train { background: #5a3fb5; border-color: #5a3fb5; color: #fff; font-size: 1.05rem; font-weight: 650; min-height: 2.6rem; min-width: 7.5rem; }
.ga button.ga-train:hover { background: #4a3299; }
.ga :focus-visible { outline: 3px solid #8a6cf0; outline-offset: 2px; }
.ga-look { min-height: 2.8em; }
.ga-alert { align-items: center; border: 2px solid #c0392b; border-radius: .35rem; display: flex; flex-wrap: wrap; gap: .6rem; margin: .6rem 0; padding: .5rem .8rem; }
.ga-alert p { flex: 1 1 14rem; }
.ga-main { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); margin-top: .4rem; }
.ga-stage { position: relative; }
.ga canvas { border: 1px solid var(--ga-line); border-radius: .35rem; display: block; width: 100%; }
.ga-plane { aspect-ratio: 1; cursor: pointer; }
.ga-plane.ga-pen { cursor: crosshair; touch-action: none; }
.ga-curve { aspect-ratio: 2; }
.ga-hint { background: color-mix(in srgb, Canvas 88%, transparent); bottom: 8%; border-radius: 2rem; color: CanvasText; font-weight: 650; left: 50%; padding: .5rem 1.1rem; pointer-events: none; position: absolute; text-align: center; transform: translateX(-50%); width: max-content; max-width: 90%; }
.ga-legend { display: flex; flex-wrap: wrap; font-size: .85rem; gap: .15rem .9rem; list-style: none; margin-top: .35rem !important; }
.ga-legend li { align-items: center; display: flex; gap: .35rem; margin: 0; }
.ga-legend svg { flex: none; height: 14px; width: 20px; }
.ga-equations > div { border: 2px solid var(--ga-line); border-radius: .35rem; margin-bottom: .5rem; padding: .35rem .6rem; }
.ga-equations > .ga-lit { background: color-mix(in srgb, var(--ga-own) 16%, transparent); border-color: var(--ga-own); }
.ga-equations i { font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", Georgia, serif; }
.ga-numbers { display: grid; gap: .1rem .8rem; grid-template-columns: 1fr auto; margin: .5rem 0 !important; }
.ga .ga-numbers :is(dt, dd) { clear: none; float: none; margin: 0; width: auto; }
.ga-numbers dt { font-weight: 400; }
.ga-numbers dd { font-variant-numeric: tabular-nums; font-weight: 650; min-width: 3.4em; text-align: right; }
.ga-settings { border-top: 1px solid var(--ga-line); margin-top: .8rem; padding-top: .4rem; }
.ga-settings summary { cursor: pointer; font-weight: 650; padding: .4rem 0; }
.ga-fields { display: grid; gap: .7rem 1.4rem; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.ga-fields label { display: grid; gap: .15rem; grid-template-columns: 1fr auto; margin: 0; }
.ga-fields :is(select, input:not([type=checkbox])) { grid-column: 1 / -1; width: 100%; }
.ga-fields input[type=range] { accent-color: #7a5ad0; min-height: 1.75rem; }
.ga-fields input[type=checkbox] { accent-color: #7a5ad0; height: 1.5rem; width: 1.5rem; }
.ga-fields output { font-variant-numeric: tabular-nums; font-weight: 650; }
.ga-status { min-height: 1.4em; }
@container (min-width: 40rem) { .ga-main { grid-template-columns: minmax(0, 1.15fr) minmax(0, 1fr); } .ga-small .ga-main { grid-template-columns: minmax(0, 1.3fr) minmax(0, 1fr); } }
@media print { .ga-row, .ga-settings, .ga-hint, .ga-status { display: none; } }
`;

// Elements from a name, properties and children.
function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const MARKS = {
  real: `<circle cx="10" cy="7" r="3.5" fill="${rgb(BLUE)}"/>`,
  fake: `<path d="M6 3l8 8m0-8l-8 8" stroke="${rgb(ORANGE)}" stroke-width="2"/>`,
  shade: `<rect width="10" height="14" fill="${rgb(BLUE, 0.5)}"/><rect x="10" width="10" height="14" fill="${rgb(ORANGE, 0.5)}"/>`,
  half: `<path d="M1 7h18" stroke="${VIOLET}" stroke-width="2.5"/>`,
  pull: `<path d="M1 7h16m-5-4l5 4-5 4" fill="none" stroke="${GREEN}" stroke-width="2"/>`,
  net: `<path d="M2 3q8 3 16 0M2 10q8 3 16 0M5 0q2 7 0 14M14 0q2 7 0 14" fill="none" stroke="${rgb(ORANGE)}" stroke-width="1"/>`,
};
const mark = (name, text) => {
  const item = h("li");
  item.innerHTML = `<svg viewBox="0 0 20 14" aria-hidden="true">${MARKS[name]}</svg>`;
  item.append(text);
  return item;
};

const minus = (text) => text.replace("-", "−");
const short = (x) => (Number.isFinite(x) ? minus(x.toFixed(Math.abs(x) < 0.0995 ? 3 : 2).replace(/^-(0\.0*)$/, "$1")) : "–");

// What each player does, in words and symbols.
function equations({ loss }, penalised) {
  const critic = loss === "wasserstein";
  const value = critic ? "mean s(x) − mean s(G(z))" : "mean log D(x) + mean log(1 − D(G(z)))";
  const penalty = penalised ? ` − ½ mean |∇s(x)|²` : "";
  const goal = { minimax: "mean log(1 − D(G(z)))", nonsaturating: "−mean log D(G(z))", wasserstein: "−mean s(G(z))" };
  return {
    D: [`${critic ? "Critic" : "Discriminator"} climbs`, value + penalty, critic ? `, then its weights are clipped to ±${LIMIT}` : ""],
    G: ["Generator descends", goal[loss], ""],
  };
}

// Where V and the generator's loss lie when the discriminator can tell nothing.
const LEVELS = {
  minimax: [[-Math.log(4), "−log 4"], [-Math.log(2), "−log 2"]],
  nonsaturating: [[-Math.log(4), "−log 4"], [Math.log(2), "log 2"]],
  wasserstein: [[0, "0"]],
};

const CELLS = 42;
const NET = (() => {
  const lines = [];
  for (let i = -2; i <= 2; i += 0.5) {
    const along = around(21, (j) => -2 + j / 5);
    lines.push(along.flatMap((t) => [i, t]), along.flatMap((t) => [t, i]));
  }
  return { z: Float64Array.from(lines.flat()), lines: lines.length, points: 21 };
})();

// Learning rates on a slider with ten places for each power of ten.
const RATES = [1, 1.25, 1.6, 2, 2.5, 3, 4, 5, 6, 8];
const rateAt = (place) => +`${RATES[((place % 10) + 10) % 10]}e${Math.floor(place / 10)}`;

// A canvas that is as sharp as the screen; returns its context and size in CSS pixels.
function sheet(canvas) {
  const ratio = globalThis.devicePixelRatio || 1, w = canvas.clientWidth, hgt = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(hgt * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(hgt * ratio);
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, hgt);
  return [c, w, hgt];
}

const tile = { pixels: null };

/** The plane: what D says, its contour, the generator's net, both kinds of points, the pull on the generated ones. */
function drawPlane(canvas, run, generated, pen) {
  const [c, size] = sheet(canvas);
  if (!size) return;
  const { D, G } = run.game, critic = run.game.loss === "wasserstein";
  const X = (x) => ((x + VIEW) / (2 * VIEW)) * size, Y = (y) => size - X(y);
  // A critic has no one half: the middle between its mean scores takes that place.
  let middle = 0, scale = 1;
  if (critic) {
    const mean = (s) => s.reduce((sum, x) => sum + x, 0) / SHOWN;
    const fake = mean(generated.scores), real = mean(D.forward(run.shownReal, SHOWN).subarray(0, SHOWN));
    middle = (real + fake) / 2;
    scale = 2 / Math.max(Math.abs(real - fake), 1e-9);
  }
  const level = new Float64Array(CELLS * CELLS), rows = new Float64Array(2 * CELLS), step = (2 * VIEW) / CELLS;
  for (let i = 0; i < CELLS; i++) {
    for (let j = 0; j < CELLS; j++) {
      rows[2 * j] = (j + 0.5) * step - VIEW;
      rows[2 * j + 1] = VIEW - (i + 0.5) * step;
    }
    const s = D.forward(rows, CELLS);
    for (let j = 0; j < CELLS; j++) level[i * CELLS + j] = (s[j] - middle) * scale;
  }
  tile.pixels ??= h("canvas", { width: CELLS, height: CELLS }).getContext("2d");
  const image = tile.pixels.createImageData(CELLS, CELLS);
  level.forEach((s, i) => {
    const says = 2 * sigmoid(s) - 1;
    image.data.set(says > 0 ? BLUE : ORANGE, 4 * i);
    image.data[4 * i + 3] = 140 * Math.abs(says);
  });
  tile.pixels.putImageData(image, 0, 0);
  c.drawImage(tile.pixels.canvas, 0, 0, size, size);

  c.beginPath();
  const at = (i) => ((i + 0.5) / CELLS) * size;
  for (let i = 0; i < CELLS - 1; i++) {
    for (let j = 0; j < CELLS - 1; j++) {
      const q = [level[i * CELLS + j], level[i * CELLS + j + 1], level[(i + 1) * CELLS + j + 1], level[(i + 1) * CELLS + j]];
      const cuts = [];
      for (let e = 0; e < 4; e++) {
        const a = q[e], b = q[(e + 1) % 4];
        if (a > 0 === b > 0) continue;
        const t = a / (a - b);
        cuts.push([[at(j + t), at(i)], [at(j + 1), at(i + t)], [at(j + 1 - t), at(i + 1)], [at(j), at(i + 1 - t)]][e]);
      }
      for (let e = 0; e + 1 < cuts.length; e += 2) {
        c.moveTo(...cuts[e]);
        c.lineTo(...cuts[e + 1]);
      }
    }
  }
  c.lineWidth = 2.5;
  c.strokeStyle = VIOLET;
  c.stroke();

  const net = G.forward(NET.z, NET.z.length / 2);
  c.beginPath();
  for (let i = 0; i < NET.lines; i++) {
    for (let j = 0; j < NET.points; j++) {
      const p = 2 * (i * NET.points + j);
      c[j ? "lineTo" : "moveTo"](X(net[p]), Y(net[p + 1]));
    }
  }
  c.lineWidth = 0.8;
  c.strokeStyle = rgb(ORANGE, 0.6);
  c.stroke();

  c.beginPath(); // all dots in one path: filling is what costs
  for (let i = 0; i < (run.centres.length ? SHOWN : 0); i++) {
    const x = X(run.shownReal[2 * i]), y = Y(run.shownReal[2 * i + 1]);
    c.moveTo(x + 2.2, y);
    c.arc(x, y, 2.2, 0, 7);
  }
  c.fillStyle = rgb(BLUE);
  c.fill();
  const { points, pulls } = generated;
  c.beginPath();
  for (let i = 0; i < SHOWN; i++) {
    const x = X(points[2 * i]), y = Y(points[2 * i + 1]);
    c.moveTo(x - 2.6, y - 2.6);
    c.lineTo(x + 2.6, y + 2.6);
    c.moveTo(x + 2.6, y - 2.6);
    c.lineTo(x - 2.6, y + 2.6);
  }
  c.lineWidth = 1.4;
  c.strokeStyle = rgb(ORANGE);
  c.stroke();

  c.beginPath();
  for (let i = 0; i < 72; i++) {
    // As long as the pull is strong, up to a limit: where nothing pulls, nothing is drawn.
    const strength = Math.hypot(pulls[2 * i], pulls[2 * i + 1]), length = Math.min(0.09 * size, 0.22 * size * strength);
    if (!(length > 1.5)) continue;
    const ux = pulls[2 * i] / strength, uy = -pulls[2 * i + 1] / strength, head = Math.min(5, 0.5 * length);
    const x = X(points[2 * i]), y = Y(points[2 * i + 1]), tx = x + ux * length, ty = y + uy * length;
    c.moveTo(x, y);
    c.lineTo(tx, ty);
    c.moveTo(tx - head * (ux - 0.6 * uy), ty - head * (uy + 0.6 * ux));
    c.lineTo(tx, ty);
    c.lineTo(tx - head * (ux + 0.6 * uy), ty - head * (uy - 0.6 * ux));
  }
  c.lineWidth = 1.5;
  c.strokeStyle = GREEN;
  c.stroke();

  if (pen) {
    c.beginPath();
    c.moveTo(X(pen[0]) - 9, Y(pen[1]));
    c.lineTo(X(pen[0]) + 9, Y(pen[1]));
    c.moveTo(X(pen[0]), Y(pen[1]) - 9);
    c.lineTo(X(pen[0]), Y(pen[1]) + 9);
    c.lineWidth = 2;
    c.strokeStyle = rgb(BLUE);
    c.stroke();
  }
}

/** Both losses over the steps, with the lines at which an undecided discriminator holds them. */
function drawCurves(canvas, run) {
  const [c, w, hgt] = sheet(canvas);
  if (!w) return;
  const ink = getComputedStyle(canvas).color, lines = LEVELS[run.game.loss], history = run.history;
  const values = [...lines.map(([y]) => y), ...history.flatMap(([, a, b]) => [a, b])].filter(Number.isFinite);
  let low = Math.max(-6, Math.min(...values)), high = Math.min(6, Math.max(...values));
  const room = Math.max(0.08 * (high - low), 0.15);
  [low, high] = [low - room, high + room];
  const left = 8, right = w - 8, top = 8, bottom = hgt - 20, end = Math.max(run.steps, 100);
  const X = (t) => left + ((right - left) * t) / end;
  const Y = (y) => bottom - ((bottom - top) * (Math.min(high, Math.max(low, y)) - low)) / (high - low);
  c.font = "12px system-ui, sans-serif";
  c.fillStyle = c.strokeStyle = ink;
  c.lineWidth = 1;
  c.setLineDash([4, 4]);
  c.beginPath();
  for (const [y] of lines) {
    c.moveTo(left, Y(y));
    c.lineTo(right, Y(y));
  }
  c.stroke();
  c.setLineDash([]);
  const series = [VIOLET, rgb(ORANGE)];
  series.forEach((colour, s) => {
    c.beginPath();
    history.forEach((row, i) => c[i ? "lineTo" : "moveTo"](X(row[0]), Y(row[s + 1])));
    c.lineWidth = 1.5;
    c.strokeStyle = colour;
    c.stroke();
  });
  for (const [y, text] of lines) c.fillText(text, left + 2, Y(y) - 4);
  c.textAlign = "right";
  c.fillText(`step ${end}`, right, hgt - 5);
  c.textAlign = "left";
  c.fillText("0", left, hgt - 5);
}

let count = 0;
const wrote = new WeakMap(); // model: the step that a view of it wrote last
const FRAME = 1000 / 30, CALM = 1000, SLICE = 10; // milliseconds between pictures, and for training between them

function render({ model, el }) {
  const id = `ga-${++count}`, small = model.get("size") === "small";
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)");
  // In a notebook every trait has a value; a preset written there replaces them all.
  const notebook = model.get("_samples") !== undefined;
  const raw = () => {
    const keys = notebook && model.get("preset") ? ["preset"] : ["preset", ...Object.keys(SETTINGS)];
    return Object.fromEntries(keys.map((key) => [key, model.get(key)]));
  };
  let { settings, problems } = readSettings(raw());
  const run = new Run({ ...settings });
  let generated, target = Infinity, exact = true, inSight = true, looping = false, busy = false;
  let frame = 0, drawn = 0, told = 0, shared = 0, described = 0, lit = "", pen = null, note = "", gone = false;
  let own = settings.drawn; // what the reader drew or was sent; it outlives lessons

  // ------------------------------------------------------------------------------------ what is on the page
  const button = (text, click, properties = {}) => h("button", { type: "button", onclick: click, ...properties }, text);
  const train = button("▶ Train", () => set({ training: !model.get("training") }), { class: "ga-train" });
  const stepD = button("One D step", () => single("D"));
  const stepG = button("One G step", () => single("G"));
  const reset = button("Reset", () => restart());
  const presets = Object.entries(PRESETS).map(([name, preset]) => [
    name, button(preset.label, () => choose(name), { "aria-pressed": "false" }),
  ]);
  const look = h("p", { class: "ga-look" }), words = ({ look, then = "" }) => look + (small ? "" : then);
  const status = h("p", { class: "ga-status", role: "status" });
  const alertText = h("p"), alertBox = h("div", { class: "ga-alert", role: "alert", hidden: true }, alertText,
    button("Reset to the defaults", () => restart(DEFAULTS)));
  const plane = h("canvas", { class: "ga-plane", role: "img", id: `${id}-plane` });
  const hint = h("div", { class: "ga-hint", "aria-hidden": "true" });
  const half = mark("half", ""), halfText = half.appendChild(h("span"));
  const legend = h("ul", { class: "ga-legend" }, mark("real", "real"), mark("fake", "generated"),
    mark("shade", "D says real / generated"), half, mark("pull", "pull on a generated point"), mark("net", "G of a latent grid"));
  const boxes = { D: h("div", { style: `--ga-own: ${VIOLET}` }), G: h("div", { style: `--ga-own: ${rgb(ORANGE)}` }) };
  const numbers = {}, list = h("dl", { class: "ga-numbers" });
  for (const [key, text] of [["step", "Step"], ["covered", "Modes covered"], ["value", "Value V"], ["loss", "G’s loss"],
    ["pull", "Mean pull"], ["state", "State"]]) {
    numbers[key] = [h("dt", {}, text), h("dd", {}, "–")];
    list.append(...numbers[key]);
  }
  const curve = h("canvas", { class: "ga-curve", role: "img" });
  const fields = {}, grid = h("div", { class: "ga-fields" });
  for (const [key, s] of Object.entries(SETTINGS)) {
    if (["drawn", "r1_at", "steps"].includes(key)) continue;
    const output = h("output"), name = `${id}-${key}`;
    let input;
    if (s.choices) {
      const labels = key === "data" ? DATA : LOSSES;
      input = h("select", { id: name }, ...s.choices.map((choice) => h("option", { value: choice }, labels[choice].label)));
      input.addEventListener("change", () => set({ [key]: input.value, ...(input.value === "drawn" && own ? { drawn: own } : {}) }));
    } else if (typeof s.initial === "boolean") {
      input = h("input", { type: "checkbox", id: name });
      input.addEventListener("change", () => set({ [key]: input.checked, r1_at: 0 }));
    } else if (key === "seed") {
      input = h("input", { type: "number", id: name, min: s.min, max: s.max, step: 1 });
      input.addEventListener("change", () => set({ [key]: input.value }));
    } else {
      const log = !s.whole, step = { batch: 8, width: 4 }[key] ?? 1;
      const bounds = log ? { min: -50, max: 0, step: 1 } : { min: s.min, max: s.max, step };
      input = h("input", { type: "range", id: name, ...bounds });
      input.addEventListener("input", () => set({ [key]: log ? rateAt(+input.value) : +input.value }));
    }
    fields[key] = { input, output };
    grid.append(h("label", { for: name }, s.label, output, input));
  }
  const copy = button("Copy a link to this situation", async () => {
    const repeated = run.steps + run.turn === 0 || settings.steps === run.steps;
    const what = repeated ? "the situation" : "the settings; a run that goes on, or was changed on the way, it cannot repeat";
    try {
      await navigator.clipboard.writeText(location.href);
      say(`The link is copied. It holds ${what}.`);
    } catch {
      say(`Copy the address of this page: it holds ${what}.`);
    }
  });
  const wipe = button("Wipe the drawing", () => draw(""));
  const extra = h("div", { class: "ga-row" }, wipe, ...(model.get("linked") ? [copy] : []));
  const side = h("div", {}, h("div", { class: "ga-equations" }, boxes.D, boxes.G), list);
  const root = h("section", { class: small ? "ga ga-small" : "ga", "aria-label": "GAN arena" },
    h("style", {}, STYLE),
    h("div", { class: "ga-row", role: "group", "aria-label": "Training" }, train, stepD, stepG, reset),
    h("div", { class: "ga-row", role: "group", "aria-label": "Lessons" }, h("span", {}, "Lessons:"), ...presets.map(([, b]) => b)),
    alertBox, look, status,
    h("div", { class: "ga-main" }, h("div", { class: "ga-stage" }, h("div", { style: "position: relative" }, plane, hint), legend), side));
  if (!small) {
    side.append(curve, h("ul", { class: "ga-legend" }));
    side.lastChild.innerHTML = `<li><svg viewBox="0 0 20 14" aria-hidden="true"><path d="M1 7h18" stroke="${VIOLET}" stroke-width="2.5"/></svg>value V</li>
      <li><svg viewBox="0 0 20 14" aria-hidden="true"><path d="M1 7h18" stroke="${rgb(ORANGE)}" stroke-width="2.5"/></svg>generator’s loss</li>
      <li>dashed: D = ½ everywhere</li>`;
    root.append(h("details", { class: "ga-settings" }, h("summary", {}, "Settings: data, loss, rates, sizes, seed"), grid, extra));
  }
  el.replaceChildren(root);

  // --------------------------------------------------------------------------------------------- the model
  // The model is what page, address and notebook share; whoever changes it, `take` follows.
  function set(values) {
    busy = true;
    for (const [key, value] of Object.entries(values)) if (model.get(key) !== value) model.set(key, value);
    busy = false;
    take();
  }

  function take() {
    if (busy) return;
    const lesson = model.get("preset"), read = readSettings(raw(), settings);
    problems = read.problems;
    const before = settings;
    settings = read.settings;
    const changed = Object.keys(DEFAULTS).filter((key) => settings[key] !== before[key]);
    if (changed.some((key) => key !== "steps")) {
      const anew = lesson || ["width", "seed", "steps"].some((key) => changed.includes(key));
      if (anew || run.steps + run.turn === 0) {
        if (!changed.includes("steps")) settings.steps = 0;
        if (run.steps + run.turn > 0 && !settings.steps) say("Back at step 0.");
        begin();
        if (settings.steps) {
          busy = true;
          model.set("training", true);
          busy = false;
        }
      } else {
        run.apply(settings);
        exact = false; // no longer the run that the address would repeat
        settings.steps = 0;
        target = Infinity;
      }
    } else if (changed.length && wrote.get(model) !== settings.steps && settings.steps !== run.steps && settings.steps > 0) {
      if (settings.steps < run.steps || !exact) begin();
      target = settings.steps;
      busy = true;
      model.set("training", true);
      busy = false;
    }
    if (run.broken || (settings.data === "drawn" && !run.centres.length)) {
      busy = true;
      model.set("training", false);
      busy = false;
      target = Infinity;
    }
    settle();
    show();
    if (model.get("training")) start();
    else halt();
  }

  // Write back what was understood, so that model and run agree.
  function settle() {
    wrote.set(model, settings.steps);
    busy = true;
    for (const key of Object.keys(SETTINGS)) if (model.get(key) !== settings[key]) model.set(key, settings[key]);
    if (model.get("preset")) model.set("preset", "");
    busy = false;
    model.save_changes();
  }

  function begin() {
    run.broken = false;
    run.restart(settings);
    exact = true;
    lit = "";
    target = settings.steps || Infinity;
  }

  function restart(values = {}) {
    settings = { ...settings, ...values, steps: 0 };
    problems = [];
    begin();
    set({ ...settings, training: false });
    say("Back at step 0.");
  }

  function choose(name) {
    restart({ ...DEFAULTS, ...PRESETS[name].settings });
    set({ training: true });
    say(`${PRESETS[name].label}: training. ${words(PRESETS[name])}`);
  }

  function single(player) {
    if (model.get("training")) set({ training: false });
    if (run.broken) return;
    const before = { value: run.value, loss: run.loss };
    if (player === "D") run.discriminator();
    else run.generator();
    exact = false;
    lit = player;
    settings.steps = 0;
    settle();
    show();
    say(player === "D"
      ? `One discriminator step: before it, V was ${short(run.value)}.`
      : `One generator step: before it, its loss was ${short(run.loss)}.`);
    return before;
  }

  // ---------------------------------------------------------------------------------------------- training
  const sees = () => inSight && !document.hidden;

  function start() {
    lit = "";
    if (!looping && !gone) {
      looping = true;
      drawn = told = 0;
      frame = requestAnimationFrame(tick);
    }
  }

  function halt() {
    const was = looping;
    if (looping) {
      while (run.turn && run.advance()); // a run is left between rounds, so that the address can repeat it
      say(`Paused at step ${run.steps}.`);
    }
    cancelAnimationFrame(frame);
    looping = false;
    const here = exact && run.steps <= SETTINGS.steps.max ? run.steps : 0;
    if (was && settings.steps !== here) {
      settings.steps = here;
      target = Infinity;
      settle();
    }
    share(true);
    show();
  }

  // A slice of training, short enough that the page answers at once; now and then a picture.
  function tick(now) {
    if (!looping || gone) return;
    if (sees()) {
      const until = performance.now() + SLICE;
      while (performance.now() < until && run.steps < target && run.advance());
      if (run.broken) {
        set({ training: false });
        return;
      }
      if (run.steps >= target) {
        target = Infinity;
        set({ training: false });
        return;
      }
      if (now - drawn >= (calm?.matches ? CALM : FRAME) - 12) {
        drawn = now;
        show();
        share();
      }
      if (now - told > 5000) {
        told = now;
        say(`Training, step ${run.steps}. ${coverage()}.`);
      }
    }
    frame = requestAnimationFrame(tick);
  }

  // -------------------------------------------------------------------------------------- pictures and words
  const coverage = () => {
    const what = settings.data === "drawn" || !DATA[settings.data].modes ? "parts" : "modes";
    return `${generated.covered} of ${run.centres.length} ${what} covered`;
  };

  function say(text) {
    note = text;
    status.textContent = note;
  }

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function show() {
    generated = run.generated();
    root.dataset.frames = +(root.dataset.frames ?? 0) + 1;
    drawPlane(plane, run, generated, pen);
    if (!small) drawCurves(curve, run);
    const training = looping && model.get("training"), drawing = pens(), empty = settings.data === "drawn" && !run.centres.length;
    write(train, training ? "❚❚ Pause" : "▶ Train");
    train.disabled = stepD.disabled = stepG.disabled = empty || Boolean(run.broken);
    const untouched = run.steps + run.turn === 0 && !training;
    hint.hidden = !untouched && !empty;
    write(hint, !empty ? "▶ Press Train" : drawing ? "Draw here: mouse, finger, or arrow keys and Space" : "No points are drawn");
    write(halfText, settings.loss === "wasserstein" ? "half way between mean scores" : "D = ½");
    for (const [name, b] of presets) {
      const same = Object.entries({ ...DEFAULTS, ...PRESETS[name].settings }).every(([key, v]) => key === "steps" || settings[key] === v);
      b.setAttribute("aria-pressed", String(same));
      if (same) write(look, words(PRESETS[name]));
    }
    if (presets.every(([, b]) => b.getAttribute("aria-pressed") === "false")) write(look, "Your own settings.");
    for (const [player, [verb, term, rest]] of Object.entries(equations(settings, run.penalised()))) {
      const text = verb + term + rest;
      if (boxes[player].dataset.text !== text) {
        boxes[player].dataset.text = text;
        boxes[player].replaceChildren(`${verb} `, h("i", {}, term), rest);
      }
      boxes[player].classList.toggle("ga-lit", lit === player);
    }
    write(numbers.step[1], String(run.steps));
    write(numbers.covered[0], settings.data !== "drawn" && DATA[settings.data].modes ? "Modes covered" : "Parts covered");
    write(numbers.covered[1], `${generated.covered} / ${run.centres.length}`);
    write(numbers.value[1], short(run.value));
    write(numbers.loss[1], short(run.loss));
    write(numbers.pull[1], short(generated.pull));
    write(numbers.state[1], run.broken ? "stopped" : !training ? (run.steps ? "paused" : "ready") : sees() ? "training" : "out of sight");
    const wrong = [...problems];
    if (run.broken) wrong.push(`The numbers grew beyond all bounds at step ${run.steps}. Take lower learning rates, or reset.`);
    alertBox.hidden = !wrong.length;
    write(alertText, wrong.join(" "));
    if (!training || !plane.hasAttribute("aria-label") || performance.now() - described > 5000) {
      described = performance.now();
      const label = `Plane with real and generated points at step ${run.steps}: ${coverage()}, mean pull ${short(generated.pull)}.`;
      plane.setAttribute("aria-label", drawing ? `Drawing area. Arrow keys move the pen, Space draws, Backspace takes back. ${label}` : label);
      curve.setAttribute("aria-label", `Losses up to step ${run.steps}: value V ${short(run.value)}, generator's loss ${short(run.loss)}.`);
    }
    plane.setAttribute("role", drawing ? "application" : "img");
    plane.classList.toggle("ga-pen", drawing);
    if (drawing) plane.tabIndex = 0;
    else plane.removeAttribute("tabindex");
    wipe.hidden = !drawing;
    for (const [key, { input, output }] of Object.entries(fields)) {
      const value = settings[key], range = input.type === "range";
      if (input.type === "checkbox") input.checked = run.penalised();
      else {
        const text = String(range && !SETTINGS[key].whole ? Math.round(10 * Math.log10(value)) : value);
        if (input.value !== text) input.value = text;
      }
      const shown = range ? plain(value) : key === "r1" && settings.r1_at > 0 ? `from step ${settings.r1_at}` : "";
      write(output, shown);
      if (range) input.setAttribute("aria-valuetext", shown);
    }
  }

  // What a notebook reads, twice a second at most.
  function share(now = false) {
    if (!notebook || (!now && performance.now() - shared < 500)) return;
    shared = performance.now();
    generated ??= run.generated();
    const finite = (x) => (Number.isFinite(x) ? x : null);
    busy = true;
    model.set("_samples", new DataView(generated.points.slice().buffer));
    model.set("measures", {
      step: run.steps, covered: generated.covered, of: run.centres.length, pull: finite(generated.pull),
      value: finite(run.value), generator_loss: finite(run.loss),
    });
    busy = false;
    model.save_changes();
  }

  // ----------------------------------------------------------------------------------------------- drawing
  const pens = () => settings.data === "drawn" && !small;
  function draw(text) {
    own = text;
    set({ drawn: text });
  }

  function dot([x, y]) {
    const points = decodeDrawing(settings.drawn);
    const [near] = decodeDrawing(encodeDrawing([[x, y]]));
    if (points.length >= 200) return say("Two hundred points are drawn; that is all that fits into an address.");
    if (!points.some(([a, b]) => a === near[0] && b === near[1])) draw(settings.drawn + encodeDrawing([near]));
  }
  const place = (event) => {
    const box = plane.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 2 * VIEW - VIEW, VIEW - ((event.clientY - box.top) / box.height) * 2 * VIEW];
  };
  plane.addEventListener("pointerdown", (event) => {
    if (!pens() || event.button) return;
    plane.setPointerCapture(event.pointerId);
    dot(place(event));
  });
  plane.addEventListener("pointermove", (event) => {
    const at = place(event), inside = at.every((x) => Math.abs(x) <= VIEW);
    if (pens() && inside && plane.hasPointerCapture(event.pointerId)) dot(at);
  });
  plane.addEventListener("click", () => !pens() && !train.disabled && train.click());
  plane.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!pens() || !(move || [" ", "Enter", "Backspace"].includes(event.key))) return;
    event.preventDefault();
    pen ??= [0, 0];
    if (move) pen = pen.map((x, i) => Math.max(-2, Math.min(2, x + 0.125 * move[i])));
    else if (event.key === "Backspace") draw(settings.drawn.slice(0, -2));
    else dot(pen);
    show();
    const points = decodeDrawing(settings.drawn).length;
    say(move ? `Pen at ${pen.map(short).join(", ")}.` : `${points} point${points === 1 ? "" : "s"} drawn.`);
  });
  plane.addEventListener("blur", () => {
    pen = null;
    show();
  });

  // ----------------------------------------------------------------------------------------- the world around
  const names = [...Object.keys(SETTINGS), "preset", "training"].map((key) => `change:${key}`);
  const ask = (message) => ({ "discriminator_step": () => single("D"), "generator_step": () => single("G"), "reset": () => restart() })[message?.do]?.();
  names.forEach((name) => model.on(name, take));
  model.on("msg:custom", ask);
  const watchers = [
    new IntersectionObserver(([entry]) => {
      inSight = entry.isIntersecting;
      if (inSight) show();
      else write(numbers.state[1], looping ? "out of sight" : numbers.state[1].textContent);
    }),
    new ResizeObserver(() => show()),
    new MutationObserver(() => show()),
  ];
  watchers[0].observe(root);
  watchers[1].observe(plane);
  watchers[2].observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });

  settle();
  show();
  if (settings.steps) {
    target = settings.steps;
    say(`Training to step ${target}.`);
    set({ training: true });
  } else if (model.get("training")) start();
  share(true);
  return () => {
    gone = true;
    watchers.forEach((watcher) => watcher.disconnect());
    names.forEach((name) => model.off(name, take));
    model.off("msg:custom", ask);
  };
}

export default { render, address: { keys: ["preset", ...Object.keys(SETTINGS)], write: (get) => {
  const values = Object.fromEntries(Object.keys(SETTINGS).map((key) => [key, get(key)]));
  return writeSettings(readSettings(values).settings);
} } };

// Figures that answer: sliders and points to drag, for pages and, as an anywidget, for notebooks.
// One module without dependencies. The formulas stand first; each is tested against Python.

// ---------------------------------------------------------------------------------------------- formulas

export const sigmoid = (s) => (s >= 0 ? 1 / (1 + Math.exp(-s)) : Math.exp(s) / (1 + Math.exp(s)));
export const softplus = (s) => Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s)));
export const normal = (x, mean, std) => Math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));
const range = (n, f) => Array.from({ length: n }, (_, i) => f(i));
const span = (a, b, n) => range(n, (i) => a + ((b - a) * i) / (n - 1));

/** D* for N(m1, s1^2) against N(m2, s2^2) at x, its logit, and how each generator loss pulls a point there. */
export function optimal(x, { m1, s1, m2, s2 }) {
  const logit = (x - m2) ** 2 / (2 * s2 * s2) - (x - m1) ** 2 / (2 * s1 * s1) + Math.log(s2 / s1);
  const slope = (x - m2) / (s2 * s2) - (x - m1) / (s1 * s1), D = sigmoid(logit);
  return { D, logit, minimax: D * slope, nonsaturating: sigmoid(-logit) * slope };
}

/** Size of the gradient by the logit of log(1 - D) and of -log D. */
export const saturation = (s) => ({ minimax: sigmoid(s), nonsaturating: sigmoid(-s) });

/** The error function, from a series without cancellation (for |x| up to 6, beyond that +-1). */
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return ((2 * Math.exp(-x * x)) / Math.sqrt(Math.PI)) * sum;
}

/** Distances between a law at 0 and the same law moved by t: N(0, 1), or uniform on an interval of length 1. */
export function distances(t, law) {
  const w1 = Math.abs(t);
  if (law === "uniform") {
    const apart = Math.min(w1, 1), kl = w1 === 0 ? 0 : Infinity;
    return { jsd: Math.log(2) * apart, kl, reverse: kl, tv: apart, w1 };
  }
  // JSD = log 2 - E_p[softplus(-s)], s = log p/q = t^2/2 - tx; the trapezoid rule is exact to rounding here.
  let mean = 0;
  for (let i = -250; i <= 250; i++) {
    const x = 0.04 * i;
    mean += 0.04 * normal(x, 0, 1) * softplus(t * x - (t * t) / 2);
  }
  const kl = (t * t) / 2;
  return { jsd: Math.max(0, Math.log(2) - mean), kl, reverse: kl, tv: erf(w1 / Math.sqrt(8)), w1 };
}

export const MODE = 0.5; // standard deviation of each of the two modes

/** Log density of half N(-a, MODE^2) and half N(a, MODE^2), and its slope. */
export function twoModes(x, a) {
  const left = -((x + a) ** 2) / (2 * MODE ** 2), right = -((x - a) ** 2) / (2 * MODE ** 2), top = Math.max(left, right);
  const log = top + Math.log(Math.exp(left - top) + Math.exp(right - top)) - Math.log(2 * MODE * Math.sqrt(2 * Math.PI));
  const share = sigmoid(right - left);
  return { log, slope: (share * (a - x) + (1 - share) * (-a - x)) / MODE ** 2 };
}

/** The Gaussian that minimises KL(p || N(m, s^2)): it has the mean and the variance of p. */
export const forwardFit = (a) => ({ m: 0, s: Math.sqrt(MODE ** 2 + a * a) });

// The trapezoid rule for a standard normal. Log p of two modes bends sharply between them, so the nodes are many;
// where the integrand is smooth, or only shading depends on it, every few of them do.
const NODES = span(-8, 8, 1001).map((t) => [t, 0.016 * normal(t, 0, 1)]);
const every = (n) => NODES.filter((_, i) => i % n === 0).map(([t, weight]) => [t, n * weight]);
const HALF = every(2), EIGHTH = every(8), TENTH = every(10);

/** KL(N(m, s^2) || p) with s = exp(l), and its derivatives by m and l. */
export function reverse(m, l, a, nodes = NODES) {
  const s = Math.exp(l);
  let kl = -0.5 * Math.log(2 * Math.PI * Math.E) - l, dm = 0, dl = -1;
  for (const [t, weight] of nodes) {
    const { log, slope } = twoModes(m + s * t, a);
    kl -= weight * log;
    dm -= weight * slope;
    dl -= weight * slope * s * t;
  }
  return { kl, dm, dl };
}

/** The way of steepest descent of the reverse KL from (m, l), and where it ends. */
export function descend(m, l, a, slope = (m, l) => reverse(m, l, a, HALF), rate = 0.05, most = 1500) {
  const path = [[m, l]];
  for (let i = 0; i < most; i++) {
    const { dm, dl } = slope(m, l);
    const size = Math.hypot(dm, dl);
    if (size < 1e-7) break;
    const step = Math.min(rate, 0.1 / size); // a wide Gaussian has a steep slope: no step jumps over the valley
    m -= step * dm;
    l -= step * dl;
    path.push([m, l]);
  }
  return path;
}

/** Where descent from the middle of each cell ends: left (0), between (1) or right (2) of the two modes. */
export function basinsOf(a, x, y, cells, rows) {
  // The slope on a grid; between its points it is interpolated, so that every cell can be followed at once.
  const grid = span(...y, rows + 1).map((l) => span(...x, cells + 1).map((m) => reverse(m, l, a, EIGHTH)));
  const across = (x[1] - x[0]) / cells, up = (y[1] - y[0]) / rows;
  const flow = (m, l) => {
    const u = Math.max(0, Math.min(cells - 1e-9, (m - x[0]) / across)), v = Math.max(0, Math.min(rows - 1e-9, (l - y[0]) / up));
    const i = Math.floor(v), j = Math.floor(u), s = v - i, r = u - j;
    const mix = (name) => (1 - s) * ((1 - r) * grid[i][j][name] + r * grid[i][j + 1][name]) + s * ((1 - r) * grid[i + 1][j][name] + r * grid[i + 1][j + 1][name]);
    const dm = mix("dm"), dl = mix("dl"), size = Math.max(1, Math.hypot(dm, dl) / 2);
    return { dm: dm / size, dl: dl / size };
  };
  const side = (m) => (m < -0.4 * Math.max(a, 0.5) ? 0 : m > 0.4 * Math.max(a, 0.5) ? 2 : 1);
  return range(rows, (i) => range(cells, (j) =>
    side(descend(x[0] + (j + 0.5) * across, y[0] + (i + 0.5) * up, a, flow, 0.12, 500).at(-1)[0])));
}

// Dragging asks for the same basins again and again.
const keepingLast = (f) => {
  let asked, found;
  return (...given) => {
    if (JSON.stringify(given) !== asked) [asked, found] = [JSON.stringify(given), f(...given)];
    return found;
  };
};
const lastBasins = keepingLast(basinsOf);

export const NOISE = 0.7, GAMMA = 1, CLIP = 1;
// How the two players move: "both" at once, or the generator after the discriminator.
export const METHODS = {
  simultaneous: "minimax, both at once",
  alternating: "minimax, in turn",
  nonsaturating: "non-saturating, in turn",
  wasserstein: "Wasserstein, in turn",
  clipping: "Wasserstein with clipping",
  "wgan-gp": "Wasserstein with gradient penalty",
  noise: "non-saturating with instance noise",
  r1: "non-saturating with R1",
  consensus: "minimax with consensus optimisation",
};

/** The Dirac-GAN: data at 0, generated point theta, D = sigma(psi x). Where each player would go next. */
export function field(method, theta, psi) {
  const fake = sigmoid(theta * psi);
  const minimax = [psi * fake, -theta * fake], saving = [psi * (1 - fake), -theta * fake];
  switch (method) {
    case "nonsaturating": return saving;
    case "wasserstein": case "clipping": return [psi, -theta];
    case "wgan-gp": return [psi, -theta - GAMMA * (Math.abs(psi) - 1) * Math.sign(psi)];
    case "r1": return [saving[0], saving[1] - GAMMA * psi];
    case "noise": {
      let dt = 0, dp = 0;
      for (const [t, weight] of TENTH) {
        const n = NOISE * t, x = theta + n;
        dt += weight * psi * sigmoid(-psi * x);
        dp += weight * (n * sigmoid(-psi * n) - x * sigmoid(psi * x));
      }
      return [dt, dp];
    }
    case "consensus": {
      // minus GAMMA times the gradient of half the squared length of the minimax field
      const r = theta * theta + psi * psi, change = fake * fake * (1 - fake) * r;
      return [minimax[0] - GAMMA * (fake * fake * theta + change * psi), minimax[1] - GAMMA * (fake * fake * psi + change * theta)];
    }
    default: return minimax;
  }
}

/** n steps of length h from (theta, psi). */
export function orbit(method, theta, psi, h, n) {
  const points = [[theta, psi]], together = ["simultaneous", "consensus"].includes(method);
  for (let i = 0; i < n; i++) {
    const [first, second] = field(method, theta, psi);
    psi += h * second;
    if (method === "clipping") psi = Math.max(-CLIP, Math.min(CLIP, psi));
    theta += h * (together ? first : field(method, theta, psi)[0]);
    points.push([theta, psi]);
  }
  return points;
}

/** What an orbit of 300 steps has done in its last two hundred. */
export function fate(points) {
  const far = points.map((p) => Math.hypot(...p)), top = (from, to) => Math.max(...far.slice(from, to));
  const [before, last] = [top(100, 200), top(200, 301)], [start, end] = [far[0], far.at(-1)];
  if (last < 0.02) return "It comes to rest at the equilibrium.";
  let turned = 0;
  for (let i = 101; i < points.length; i++) {
    const [a, b] = points[i - 1], [c, d] = points[i];
    turned += Math.atan2(a * d - b * c, a * c + b * d);
  }
  // Within a turn the distance rises and falls; only whole turns compare.
  if (Math.abs(turned) > 4 * Math.PI) {
    if (last < 0.97 * before) return "It comes closer to the equilibrium with every turn.";
    return last > 1.03 * before ? "It moves away from the equilibrium." : "It circles the equilibrium.";
  }
  if (end < 0.25 * start) return "It is on its way to the equilibrium.";
  return end > 1.5 * start ? "It moves away from the equilibrium." : "So far it has neither settled nor escaped; longer steps go further.";
}

const distance = ([a, b], [c, d]) => Math.hypot(a - c, b - d);

/**
 * The cheapest matching of equally many points, by shortest augmenting paths, with its dual solution:
 * u[i] + v[j] <= |x_i - y_j|, with equality where i is matched to j.
 */
export function transport(x, y) {
  const n = x.length, u = new Float64Array(n), v = new Float64Array(n), owner = new Int32Array(n).fill(-1);
  for (let row = 0; row < n; row++) {
    const least = new Float64Array(n).fill(Infinity), from = new Int32Array(n).fill(-1), done = new Uint8Array(n);
    let i = row, column = -1;
    for (;;) {
      let next = -1;
      for (let j = 0; j < n; j++) {
        if (done[j]) continue;
        const slack = distance(x[i], y[j]) - u[i] - v[j];
        if (slack < least[j]) [least[j], from[j]] = [slack, column];
        if (next < 0 || least[j] < least[next]) next = j;
      }
      const delta = least[next];
      u[row] += delta;
      for (let j = 0; j < n; j++) {
        if (done[j]) {
          u[owner[j]] += delta;
          v[j] -= delta;
        } else least[j] -= delta;
      }
      done[next] = 1;
      column = next;
      if (owner[next] < 0) break;
      i = owner[next];
    }
    while (column >= 0) {
      const previous = from[column];
      owner[column] = previous < 0 ? row : owner[previous];
      column = previous;
    }
  }
  const match = new Array(n);
  owner.forEach((i, j) => (match[i] = j));
  return { match, u: [...u], v: [...v], cost: x.reduce((sum, p, i) => sum + distance(p, y[match[i]]), 0) / n };
}

/** A Kantorovich potential on the whole plane: 1-Lipschitz, u[i] at x_i and -v[j] at y_j. */
export const potential = (z, y, v) => Math.min(...y.map((point, j) => distance(z, point) - v[j]));

// ------------------------------------------------------------------------------------------------ drawing

// As in gancourse.figures: each keeps a contrast of 3 against a light and a dark page.
const BLUE = "#1f77b4", ORANGE = "#d1601c", VIOLET = "#7a5ad0", GREEN = "#0f8a6d", GREY = "#7a7f87";
const WIDTH = 400;
const cut = (x) => x.toFixed(1);
const minus = (text) => text.replace("-", "−");
const show = (x, digits = 3) => (x === Infinity ? "∞" : minus(Math.abs(x) < 0.5 * 10 ** -digits ? (0).toFixed(digits) : x.toFixed(digits)));

// A coordinate system in the picture: what it maps, its frame, and lines in it that never leave it.
function panel({ x, y, top = 10, height, left = 34, right = 10, xticks, yticks, xname = "", yname = "" }) {
  const w = WIDTH - left - right;
  const X = (v) => left + (w * (v - x[0])) / (x[1] - x[0]), Y = (v) => top + (height * (y[1] - v)) / (y[1] - y[0]);
  const label = (text, px, py, more = "") => `<text x="${cut(px)}" y="${cut(py)}" ${more}>${text}</text>`;
  const frame = [
    ...xticks.map((v) => `<path class="tick" d="M${cut(X(v))} ${top}v${height}"/>` + label(minus(String(v)), X(v), top + height + 15, 'text-anchor="middle"')),
    ...yticks.map((v) => `<path class="tick" d="M${left} ${cut(Y(v))}h${w}"/>` + label(minus(String(v)), left - 5, Y(v) + 4, 'text-anchor="end"')),
    label(xname, left + w, top + height + 30, 'text-anchor="end"'), label(yname, left + 4, top + 12),
  ].join("");
  // Where a line leaves the frame it is interrupted.
  const line = (points, colour, dash = "") => {
    let d = "", on = false;
    for (const [a, b] of points) {
      const seen = a >= x[0] && a <= x[1] && b >= y[0] && b <= y[1];
      if (seen) d += `${on ? "L" : "M"}${cut(X(a))} ${cut(Y(b))}`;
      on = seen;
    }
    return `<path fill="none" stroke="${colour}" stroke-width="2.2" stroke-dasharray="${dash}" d="${d}"/>`;
  };
  const dot = (a, b, colour) => (Number.isFinite(b) && b <= y[1] ? `<circle cx="${cut(X(a))}" cy="${cut(Y(b))}" r="5" fill="${colour}"/>` : "");
  const rule = (v) => `<path class="rule" d="M${cut(X(v))} ${top}v${height}"/>`;
  const back = (px, py) => [x[0] + ((px - left) / w) * (x[1] - x[0]), y[1] - ((py - top) / height) * (y[1] - y[0])];
  return { X, Y, frame, line, dot, rule, label, back, left, top, w, height };
}

// Level lines of f on a grid of n x n cells, as one path.
function contour(axes, x, y, n, values, level) {
  let d = "";
  const px = (j) => axes.X(x[0] + ((x[1] - x[0]) * j) / n), py = (i) => axes.Y(y[0] + ((y[1] - y[0]) * i) / n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const q = [values[i][j], values[i][j + 1], values[i + 1][j + 1], values[i + 1][j]].map((v) => v - level), cuts = [];
      for (let e = 0; e < 4; e++) {
        const a = q[e], b = q[(e + 1) % 4];
        if (a > 0 === b > 0) continue;
        const t = a / (a - b);
        cuts.push([[j + t, i], [j + 1, i + t], [j + 1 - t, i + 1], [j, i + 1 - t]][e]);
      }
      for (let e = 0; e + 1 < cuts.length; e += 2) d += `M${cuts.slice(e, e + 2).map(([a, b]) => `${cut(px(a))} ${cut(py(b))}`).join("L")}`;
    }
  }
  return d;
}

// Shading by tiles whose edges meet: sizes are differences of rounded edges.
const tile = (x0, y0, x1, y1, colour, opacity) =>
  `<rect x="${cut(x0)}" y="${cut(y0)}" width="${cut(cut(x1) - cut(x0))}" height="${cut(cut(y1) - cut(y0))}" shape-rendering="crispEdges" fill="${colour}" fill-opacity="${opacity}"/>`;

const slider = (label, min, max, step, value) => ({ label, min, max, step, value });

/** Each figure: what can be set, and how it is drawn for a state, with what it says in words. */
export const FIGURES = {
  "optimal-discriminator": {
    title: "The optimal discriminator of two Gaussians",
    height: 400,
    sliders: {
      m1: slider("Mean of the data", -3, 3, 0.1, 1), s1: slider("Width of the data", 0.4, 2.5, 0.1, 1),
      m2: slider("Mean of the generator", -3, 3, 0.1, -1), s2: slider("Width of the generator", 0.4, 2.5, 0.1, 1),
    },
    key: [["data p_d", BLUE], ["generator p_g", ORANGE, "6 4"], ["D*", VIOLET], ["pull, minimax", ORANGE], ["pull, non-saturating", GREEN, "6 4"]],
    draw(state) {
      const xs = span(-6, 6, 241), at = xs.map((x) => optimal(x, state)), ticks = [-6, -3, 0, 3, 6];
      const upper = panel({ x: [-6, 6], y: [0, 1.05], top: 10, height: 160, xticks: ticks, yticks: [0, 0.5, 1] });
      const lower = panel({ x: [-6, 6], y: [-6, 6], top: 205, height: 150, xticks: ticks, yticks: [-5, 0, 5], xname: "x", yname: "pull: − slope of the loss in x" });
      const here = optimal(state.m2, state);
      return {
        svg: upper.frame + upper.rule(state.m2) + upper.line(xs.map((x) => [x, normal(x, state.m1, state.s1)]), BLUE)
          + upper.line(xs.map((x) => [x, normal(x, state.m2, state.s2)]), ORANGE, "6 4") + upper.line(xs.map((x, i) => [x, at[i].D]), VIOLET)
          + lower.frame + lower.rule(state.m2) + lower.line(xs.map((x, i) => [x, at[i].minimax]), ORANGE) + lower.line(xs.map((x, i) => [x, at[i].nonsaturating]), GREEN, "6 4"),
        text: `In the middle of the generated points, D* = ${show(here.D)}. There the minimax loss pulls with ${show(here.minimax)}, the non-saturating one with ${show(here.nonsaturating)}.`,
      };
    },
  },
  saturation: {
    title: "How strongly each generator loss pulls on the logit",
    height: 250,
    sliders: { s: slider("Logit of a generated point", -8, 8, 0.1, -4) },
    key: [["minimax: σ(s)", ORANGE], ["non-saturating: 1 − σ(s)", GREEN, "6 4"]],
    draw({ s }) {
      const xs = span(-8, 8, 161), axes = panel({ x: [-8, 8], y: [0, 1.05], height: 200, xticks: [-8, -4, 0, 4, 8], yticks: [0, 0.5, 1], xname: "logit s" });
      const { minimax, nonsaturating } = saturation(s);
      const who = s < -0.5 ? "the discriminator wins" : s > 0.5 ? "the generator wins" : "nobody wins";
      return {
        svg: axes.frame + axes.rule(s) + axes.line(xs.map((x) => [x, saturation(x).minimax]), ORANGE)
          + axes.line(xs.map((x) => [x, saturation(x).nonsaturating]), GREEN, "6 4") + axes.dot(s, minimax, ORANGE) + axes.dot(s, nonsaturating, GREEN),
        text: `D(G(z)) = ${show(sigmoid(s), 4)}: ${who}. The minimax gradient has size ${show(minimax, 4)}, the non-saturating one ${show(nonsaturating, 4)}.`,
      };
    },
  },
  divergences: {
    title: "Five distances while one law slides away from another",
    height: 370,
    sliders: { t: slider("Shift", 0, 4, 0.05, 1) },
    choices: { law: { label: "Laws", value: "gaussian", options: { gaussian: "Gaussians of width 1", uniform: "uniform, length 1" } } },
    key: [["JSD", VIOLET], ["KL, both ways", ORANGE], ["TV", GREEN, "6 4"], ["W₁", BLUE, "2 4"]],
    draw({ t, law }) {
      const xs = span(-4, 8, 481), density = (x, m) => (law === "uniform" ? (Math.abs(x - m) <= 0.5 ? 1 : 0) : normal(x, m, 1));
      const upper = panel({ x: [-3, 7], y: [0, law === "uniform" ? 1.15 : 0.46], height: 90, xticks: [-2, 0, 2, 4, 6], yticks: [] });
      const lower = panel({ x: [0, 4], y: [0, 3], top: 140, height: 185, xticks: [0, 1, 2, 3, 4], yticks: [0, 1, 2, 3], xname: "shift" });
      const ts = span(0, 4, 81), all = ts.map((u) => distances(u, law)), now = distances(t, law);
      const curve = (name, colour, dash) => lower.line(ts.map((u, i) => [u, all[i][name]]), colour, dash) + lower.dot(t, now[name], colour);
      return {
        svg: upper.frame + upper.line(xs.map((x) => [x, density(x, 0)]), BLUE) + upper.line(xs.map((x) => [x, density(x, t)]), ORANGE, "6 4")
          + lower.frame + lower.rule(t) + (law === "uniform" ? "" : curve("kl", ORANGE)) + curve("jsd", VIOLET) + curve("tv", GREEN, "6 4") + curve("w1", BLUE, "2 4"),
        text: `JSD ${show(now.jsd)}, KL ${show(now.kl)} and ${show(now.reverse)}, TV ${show(now.tv)}, W₁ ${show(now.w1)}.`
          + (law === "uniform" && t >= 1 ? " The laws no longer overlap: only W₁ still knows how far apart they are." : ""),
      };
    },
  },
  "gaussian-fits": {
    title: "One Gaussian for two modes: forward and reverse KL",
    height: 440,
    sliders: { a: slider("Half the distance of the modes", 0, 3, 0.05, 1.8) },
    state: { start: [0.9, -0.3] },
    key: [["two modes p", BLUE], ["forward KL", GREEN, "6 4"], ["reverse KL, from the ring", ORANGE]],
    draw({ a, start }) {
      const x = [-4, 4], y = [-1.5, 1.5], cells = 36, rows = 24;
      const upper = panel({ x, y: [0, 0.9], height: 140, xticks: [-4, -2, 0, 2, 4], yticks: [] });
      const lower = panel({ x, y, top: 190, height: 200, xticks: [-4, -2, 0, 2, 4], yticks: [-1, 0, 1], xname: "mean of the Gaussian", yname: "log of its width" });
      const sides = lastBasins(a, x, y, cells, rows);
      let basins = "";
      const w = lower.w / cells, hgt = lower.height / rows, tints = [BLUE, GREY, ORANGE];
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < cells; j++) {
          const left = lower.left + j * w, top = lower.top + (rows - 1 - i) * hgt;
          basins += tile(left, top, left + w, top + hgt, tints[sides[i][j]], 0.22);
        }
      }
      const path = descend(...start, a), [m, l] = path.at(-1), s = Math.exp(l), forward = forwardFit(a), xs = span(...x, 161);
      return {
        svg: upper.frame + upper.line(xs.map((v) => [v, Math.exp(twoModes(v, a).log)]), BLUE) + upper.line(xs.map((v) => [v, normal(v, forward.m, forward.s)]), GREEN, "6 4")
          + upper.line(xs.map((v) => [v, normal(v, m, s)]), ORANGE) + basins + lower.frame + lower.line(path, ORANGE) + lower.dot(m, l, ORANGE) + lower.dot(0, Math.log(forward.s), GREEN),
        handles: [{ at: start, label: "Start of the reverse fit", colour: ORANGE, axes: lower, x, y, set: (p) => ({ start: p }) }],
        text: `Forward KL covers both modes: mean 0, width ${show(forward.s, 2)}. Reverse KL from here ends at mean ${show(m, 2)}, width ${show(s, 2)}, KL ${show(reverse(m, l, a).kl, 3)}. Shading: from which starts it ends left, right or between.`,
      };
    },
  },
  "dirac-gan": {
    title: "The Dirac-GAN: one generated point against one slope",
    height: 380,
    sliders: { h: slider("Step length", 0.02, 0.5, 0.02, 0.2) },
    choices: { method: { label: "Method", value: "alternating", options: METHODS } },
    state: { start: [1, 1] },
    key: [["orbit of 300 steps", VIOLET], ["start, to drag", ORANGE], ["equilibrium", GREEN]],
    draw({ h, method, start }) {
      const axes = panel({ x: [-3, 3], y: [-3, 3], height: 330, left: 40, right: 30, xticks: [-2, 0, 2], yticks: [-2, 0, 2], xname: "generated point θ", yname: "slope ψ of the discriminator" });
      const points = orbit(method, ...start, h, 300), end = points.at(-1), far = (p) => Math.hypot(...p);
      const inside = ([a, b]) => Math.abs(a) <= 3 && Math.abs(b) <= 3;
      let arrows = "";
      for (let i = -2.5; i <= 2.5; i += 1) {
        for (let j = -2.5; j <= 2.5; j += 1) {
          const [dt, dp] = field(method, i, j), size = Math.hypot(dt, dp) || 1, u = (14 * dt) / size, v = (-14 * dp) / size;
          arrows += `M${cut(axes.X(i))} ${cut(axes.Y(j))}l${cut(u)} ${cut(v)}l${cut(-0.35 * u - 0.2 * v)} ${cut(-0.35 * v + 0.2 * u)}`;
        }
      }
      return {
        svg: axes.frame + `<path d="${arrows}" fill="none" stroke="${GREY}" stroke-width="1.2"/>` + axes.line(points, VIOLET)
          + points.filter((p, i) => i % 5 === 0 && inside(p)).map(([a, b]) => `<circle cx="${cut(axes.X(a))}" cy="${cut(axes.Y(b))}" r="1.8" fill="${VIOLET}"/>`).join("") + axes.dot(0, 0, GREEN),
        handles: [{ at: start, label: "Start of the orbit", colour: ORANGE, axes, x: [-3, 3], y: [-3, 3], set: (p) => ({ start: p }) }],
        text: `Distance from the equilibrium: ${show(far(start), 2)} at the start, ${show(far(end), 2)} after 300 steps. ${fate(points)}`,
      };
    },
  },
  transport: {
    title: "Optimal transport between two sets of points",
    height: 400,
    sliders: {},
    state: {
      x: [[0.15, 0.8], [0.2, 0.45], [0.3, 0.2], [0.35, 0.65], [0.1, 0.15]],
      y: [[0.85, 0.85], [0.6, 0.75], [0.9, 0.45], [0.65, 0.3], [0.8, 0.12]],
    },
    key: [["P", BLUE], ["Q", ORANGE], ["who goes where", GREEN], ["levels of the dual potential f", GREY]],
    draw({ x, y }) {
      const box = [0, 1], n = 28, axes = panel({ x: box, y: box, height: 360, left: 20, right: 20, xticks: [], yticks: [] });
      const { match, v, cost } = transport(x, y);
      const values = span(0, 1, n + 1).map((b) => span(0, 1, n + 1).map((a) => potential([a, b], y, v)));
      const flat = values.flat(), low = Math.min(...flat), high = Math.max(...flat);
      let levels = "";
      for (let level = Math.ceil(low / 0.1) * 0.1; level < high; level += 0.1) levels += contour(axes, box, box, n, values, level);
      const shade = range(n * n, (q) => {
        const i = Math.floor(q / n), j = q % n, f = (values[i][j] - low) / (high - low || 1);
        return tile(axes.X(j / n), axes.Y((i + 1) / n), axes.X((j + 1) / n), axes.Y(i / n), BLUE, (0.3 * f).toFixed(2));
      }).join("");
      const f = (z) => potential(z, y, v), dual = (x.reduce((sum, p) => sum + f(p), 0) - y.reduce((sum, p) => sum + f(p), 0)) / x.length;
      const handle = (set, name, colour) => (at, i) => ({
        at, label: `Point ${i + 1} of ${name}`, colour, axes, x: box, y: box,
        set: (p) => ({ [set]: (set === "x" ? x : y).map((old, j) => (j === i ? p : old)) }),
      });
      return {
        svg: shade + `<path d="${levels}" fill="none" stroke="${GREY}" stroke-width="1"/>` + x.map((p, i) => axes.line([p, y[match[i]]], GREEN)).join(""),
        handles: [...x.map(handle("x", "P", BLUE)), ...y.map(handle("y", "Q", ORANGE))],
        text: `Cost of the cheapest plan: W₁ = ${show(cost)}. Mean of f over P minus mean of f over Q: ${show(dual)}. They agree, and f never rises faster than the distance.`,
      };
    },
  },
};

// ---------------------------------------------------------------------------------------------- the view

const STYLE = `
.gf { container-type: inline-size; font-size: .92rem; line-height: 1.4; margin: 1rem 0; text-align: left; }
.gf * { box-sizing: border-box; }
.gf p, .gf ul { margin: .4rem 0 0; padding: 0; }
.gf-body { display: grid; gap: .6rem 1.4rem; }
.gf svg { display: block; max-width: 34rem; touch-action: pan-y; width: 100%; }
.gf svg text { fill: currentColor; font: 13px system-ui, sans-serif; }
.gf .tick { fill: none; stroke: currentColor; stroke-opacity: .18; }
.gf .rule { fill: none; stroke: currentColor; stroke-dasharray: 2 3; stroke-opacity: .7; }
.gf .handle { cursor: grab; fill: transparent; touch-action: none; }
.gf .handle circle + circle { fill: var(--gf-own); stroke: #fff; stroke-width: 2; }
.gf .handle:focus { outline: none; }
.gf .handle:focus circle + circle { stroke: currentColor; stroke-width: 3.5; }
.gf-fields { align-content: start; display: grid; gap: .5rem 1.2rem; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); }
.gf label { display: grid; gap: .1rem; grid-template-columns: 1fr auto; margin: 0; }
.gf label > :is(input, select) { grid-column: 1 / -1; width: 100%; }
.gf input[type=range] { accent-color: #7a5ad0; min-height: 1.75rem; }
.gf select { background: transparent; border: 1px solid color-mix(in srgb, currentColor 55%, transparent); border-radius: .35rem; color: inherit; font: inherit; min-height: 2.25rem; padding: .25rem .5rem; }
.gf select option { background: Canvas; color: CanvasText; }
.gf output { font-variant-numeric: tabular-nums; font-weight: 650; }
.gf :is(input, select):focus-visible { outline: 3px solid #8a6cf0; outline-offset: 2px; }
.gf-key { display: flex; flex-wrap: wrap; gap: .15rem 1rem; list-style: none; }
.gf-key li { align-items: center; display: flex; gap: .4rem; margin: 0; }
.gf-key svg { flex: none; height: 10px; width: 26px; }
.gf-text { min-height: 2.8em; }
`;

let count = 0;

function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const root = h("section", { class: "gf" });
  el.replaceChildren(root);
  const build = () => {
    const figure = FIGURES[model.get("figure")];
    if (!figure) {
      root.replaceChildren(h("p", { role: "alert" }, `There is no figure “${model.get("figure")}”; there are ${Object.keys(FIGURES).join(", ")}.`));
      return;
    }
    const id = `gf-${++count}`, state = structuredClone(figure.state ?? {});
    for (const part of [figure.sliders, figure.choices ?? {}]) for (const [key, field] of Object.entries(part)) state[key] = field.value;
    root.setAttribute("aria-label", figure.title);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${figure.height}`);
    svg.innerHTML = `<g role="img" aria-label="${figure.title}"></g><g></g>`;
    const [picture, handles] = svg.children;
    const text = h("p", { class: "gf-text", "aria-live": "polite" });
    const key = h("ul", { class: "gf-key" });
    key.innerHTML = figure.key.map(([name, colour, dash = ""]) =>
      `<li><svg viewBox="0 0 26 10" aria-hidden="true"><path d="M1 5h24" stroke="${colour}" stroke-width="3" stroke-dasharray="${dash}"/></svg>${name}</li>`).join("");
    const fields = h("div", { class: "gf-fields" });
    for (const [name, { label, min, max, step }] of Object.entries(figure.sliders)) {
      const output = h("output", {}, show(state[name], 2)), input = h("input", { type: "range", id: `${id}-${name}`, min, max, step, value: state[name] });
      input.addEventListener("input", () => {
        state[name] = +input.value;
        output.textContent = show(state[name], 2);
        soon();
      });
      fields.append(h("label", { for: input.id }, label, output, input));
    }
    for (const [name, { label, options }] of Object.entries(figure.choices ?? {})) {
      const input = h("select", { id: `${id}-${name}` }, ...Object.entries(options).map(([value, words]) => h("option", { value }, words)));
      input.value = state[name];
      input.addEventListener("change", () => {
        state[name] = input.value;
        soon();
      });
      fields.append(h("label", { for: input.id }, label, input));
    }
    let current = [], waiting = false;
    const move = (i, [a, b]) => {
      const { x, y, set } = current[i], keep = (v, [low, high]) => Math.max(low, Math.min(high, v));
      current[i].at = [keep(a, x), keep(b, y)]; // the next key may come before the next drawing
      Object.assign(state, set(current[i].at));
      soon();
    };
    const grip = (i) => {
      const handle = document.createElementNS("http://www.w3.org/2000/svg", "g");
      for (const [name, value] of Object.entries({ class: "handle", tabindex: 0, role: "button" })) handle.setAttribute(name, value);
      handle.innerHTML = '<circle r="17"/><circle r="9"/>'; // what a finger may hit, and what is seen
      const under = (event) => {
        const box = svg.getBoundingClientRect(), scale = WIDTH / box.width;
        return current[i].axes.back((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
      };
      let aside = [0, 0]; // from the point to where it was taken hold of
      handle.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        handle.setPointerCapture(event.pointerId);
        aside = under(event).map((v, axis) => v - current[i].at[axis]);
      });
      handle.addEventListener("pointermove", (event) => {
        if (handle.hasPointerCapture(event.pointerId)) move(i, under(event).map((v, axis) => v - aside[axis]));
      });
      handle.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
        if (!way) return;
        event.preventDefault();
        const { at, x, y } = current[i];
        move(i, [at[0] + (way[0] * (x[1] - x[0])) / 40, at[1] + (way[1] * (y[1] - y[0])) / 40]);
      });
      handles.append(handle);
    };
    const draw = () => {
      waiting = false;
      const drawn = figure.draw(state);
      picture.innerHTML = drawn.svg;
      text.textContent = drawn.text;
      current = drawn.handles ?? [];
      while (handles.children.length < current.length) grip(handles.children.length);
      current.forEach(({ at, label, colour, axes }, i) => {
        const values = {
          transform: `translate(${cut(axes.X(at[0]))} ${cut(axes.Y(at[1]))})`, style: `--gf-own: ${colour}`,
          "aria-label": `${label} at ${show(at[0], 2)}, ${show(at[1], 2)}; arrow keys move it`,
        };
        for (const [name, value] of Object.entries(values)) handles.children[i].setAttribute(name, value);
      });
    };
    // However fast a slider moves, the page draws once a frame.
    const soon = () => {
      if (!waiting) requestAnimationFrame(draw);
      waiting = true;
    };
    root.replaceChildren(h("style", {}, STYLE), h("div", { class: "gf-body" }, fields, h("div", {}, svg, key, text)));
    if (!fields.children.length) fields.remove();
    draw();
  };
  build();
  model.on("change:figure", build);
  return () => model.off("change:figure", build);
}

export default { render };

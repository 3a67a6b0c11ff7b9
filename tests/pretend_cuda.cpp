// A CUDA device for PyTorch's CPU build, whose memory is the host's and whose kernels are the CPU's.
//
// It refuses what CUDA refuses: tensors of two devices in one operation, a generator of another device, and,
// while a graph is being recorded, whatever waits for the device. `tests/pretend_cuda.py` builds and loads it,
// before Python imports torch, which asks once and for all whether there is CUDA.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using at::Tensor;
using c10::IValue;

const c10::Device CUDA(c10::kCUDA, 0);
const c10::DispatchKeySet KEYS(c10::DispatchKey::CUDA);
const std::set<std::string> WAITING{
    "aten::_local_scalar_dense", "aten::_unique2",    "aten::bincount",          "aten::equal",
    "aten::masked_select",       "aten::nonzero",     "aten::repeat_interleave", "aten::unique_consecutive",
    "aten::unique_dim"};
bool recording = false;

void check_waiting(bool waits, const std::string& what) {
  TORCH_CHECK(!recording || !waits, "called a synchronizing CUDA operation: ", what);
}

// ------------------------------------------------------------------------------- memory, streams, the device

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* found = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {found, found, &std::free, CUDA};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
} memory;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static c10::Stream only() { return c10::Stream(c10::Stream::DEFAULT, CUDA); }
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device) const override { return CUDA; }
  c10::Device getDevice() const override { return CUDA; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return only(); }
  c10::Stream getDefaultStream(c10::Device) const override { return only(); }
  c10::Stream exchangeStream(c10::Stream) const override { return only(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    *event = &memory;
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};

struct Random final : c10::GeneratorImpl {
  at::Generator inner = at::detail::createCPUGenerator();
  Random() : c10::GeneratorImpl(CUDA, KEYS) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner.unsafeGetGeneratorImpl()->get_state();
  }
  c10::GeneratorImpl* clone_impl() const override {
    auto* copy = new Random();
    copy->inner = inner.clone();
    return copy;
  }
};

const at::Generator& usual_generator() {
  static const at::Generator usual = at::make_generator<Random>();
  return usual;
}

struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return usual_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Random>(); }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  int getNumGPUs() const override { return 1; }
};

// --------------------------------------------------------------------------------------------------- tensors

Tensor empty(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType kind) {
  return at::detail::empty_strided_generic(sizes, strides, &memory, KEYS, kind);
}

// The same numbers at the same place, as a tensor of the CPU.
Tensor on_host(const Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  void* place = tensor.numel() ? tensor.mutable_data_ptr() : nullptr;
  Tensor host = at::from_blob(place, tensor.sizes(), tensor.strides(), tensor.options().device(c10::kCPU));
  return host;
}

Tensor on_device(const Tensor& host) {
  if (!host.defined() || !host.is_cpu()) return host;
  Tensor tensor = empty(host.sizes(), host.strides(), host.scalar_type());
  on_host(tensor).copy_(host);
  return tensor;
}

// What an operation left in a result that it was given and had to resize.
void put(const Tensor& tensor, const Tensor& host) {
  Tensor fresh = on_device(host);
  auto* own = tensor.unsafeGetTensorImpl();
  own->set_storage_keep_dtype(fresh.storage());
  own->set_sizes_and_strides(fresh.sizes(), fresh.strides());
}

bool writes(const c10::AliasInfo* alias) { return alias && alias->isWrite(); }

// Any operation: on the host, where the tensors are already.
void fall_back(const c10::OperatorHandle& operation, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto& schema = operation.schema();
  const std::string name = schema.name();
  check_waiting(WAITING.count(name) > 0, name);
  const std::vector<IValue> given = torch::jit::pop(*stack, schema.arguments().size());

  bool has_host = false;
  std::vector<std::pair<Tensor, Tensor>> results;
  for (size_t i = 0; i < given.size(); i++) {
    const auto& argument = schema.arguments()[i];
    const std::string kind = argument.type()->str();
    const bool may_be_anywhere = kind.find("?[]") != std::string::npos;  // indices, which CUDA fetches
    const auto convert = [&](const Tensor& tensor) {
      if (!tensor.defined()) return tensor;
      has_host = has_host || (tensor.is_cpu() && tensor.dim() > 0 && !may_be_anywhere);
      // A result that is empty is there to be resized, which foreign memory cannot be.
      const bool is_empty = writes(argument.alias_info()) && tensor.numel() == 0;
      const auto options = tensor.options().device(c10::kCPU);
      Tensor host = is_empty ? at::empty(tensor.sizes(), options) : on_host(tensor);
      if (writes(argument.alias_info()) && !tensor.is_cpu()) results.emplace_back(tensor, host);
      return host;
    };
    IValue value = given[i];
    if (value.isTensor()) {
      value = convert(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(convert(tensor));
      value = list;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor>& tensor : value.toOptionalTensorVector())
        list.push_back(tensor ? std::optional<Tensor>(convert(*tensor)) : std::nullopt);
      value = list;
    } else if (value.isDevice()) {
      value = c10::Device(c10::kCPU);
    } else if (kind.find("Generator") != std::string::npos) {
      const at::Generator generator = value.isNone() ? usual_generator() : value.toGenerator();
      TORCH_CHECK(generator.device().is_cuda(), "Expected a 'cuda' device type for generator but found '",
                  generator.device().type(), "'");
      value = static_cast<Random*>(generator.unsafeGetGeneratorImpl())->inner;
    }
    torch::jit::push(*stack, std::move(value));
  }
  TORCH_CHECK(!has_host, "Expected all tensors to be on the same device, but found at least two devices, ",
              "cuda:0 and cpu! (in ", name, ")");
  {
    const c10::DispatchKeySet above(c10::DispatchKey::ADInplaceOrView);
    c10::impl::ExcludeDispatchKeyGuard below(c10::autograd_dispatch_keyset | above);
    operation.callBoxed(stack);
  }
  for (const auto& [tensor, host] : results) {
    const bool has_moved = host.numel() && host.data_ptr() != tensor.data_ptr();
    if (has_moved || !host.sizes().equals(tensor.sizes())) put(tensor, host);
  }

  const std::vector<IValue> computed = torch::jit::pop(*stack, schema.returns().size());
  for (size_t i = 0; i < computed.size(); i++) {
    IValue value = computed[i];
    const auto* alias = schema.returns()[i].alias_info();
    TORCH_CHECK(!alias || alias->isWrite(), "the pretended device needs a view of its own for ", name);
    if (value.isTensor() && alias) {
      for (size_t j = 0; j < given.size(); j++) {
        const auto* other = schema.arguments()[j].alias_info();
        if (other && other->beforeSets() == alias->beforeSets()) value = given[j];
      }
    } else if (value.isTensor()) {
      value = on_device(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(on_device(tensor));
      value = list;
    }
    torch::jit::push(*stack, std::move(value));
  }
}

c10::ScalarType or_usual(std::optional<c10::ScalarType> kind) {
  return kind.value_or(at::get_default_dtype_as_scalartype());
}

Tensor empty_in_format(c10::IntArrayRef sizes, std::optional<c10::ScalarType> kind, std::optional<c10::Layout>,
                       std::optional<c10::Device>, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &memory, KEYS, or_usual(kind), format);
}

Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<c10::ScalarType> kind,
                     std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>) {
  return empty(sizes, strides, or_usual(kind));
}

Tensor& copy_into(Tensor& to, const Tensor& from, bool) {
  check_waiting(to.device() != from.device(), "copying between host and device");
  const bool is_same = to.is_alias_of(from) && to.storage_offset() == from.storage_offset() &&
                       to.sizes().equals(from.sizes()) && to.strides().equals(from.strides());
  if (!is_same) on_host(to).copy_(on_host(from));
  return to;
}

Tensor& set_storage(Tensor& tensor, c10::Storage storage, int64_t offset, c10::IntArrayRef sizes,
                    c10::IntArrayRef strides) {
  auto* own = tensor.unsafeGetTensorImpl();
  own->set_storage_keep_dtype(std::move(storage));
  own->set_storage_offset(offset);
  own->set_sizes_and_strides(sizes, strides);
  return tensor;
}

Tensor& set_whole_storage(Tensor& tensor, c10::Storage storage) {
  const auto length = static_cast<int64_t>(storage.nbytes() / tensor.element_size());
  return set_storage(tensor, std::move(storage), 0, {length}, {1});
}

Tensor view(const Tensor& tensor, c10::IntArrayRef sizes) { return at::native::view(tensor, sizes); }

Tensor as_strided(const Tensor& tensor, c10::IntArrayRef sizes, c10::IntArrayRef strides,
                  std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, sizes, strides, offset);
}

Tensor reshape_alias(const Tensor& tensor, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  return at::native::_reshape_alias(tensor, sizes, strides);
}

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  c10::SetAllocator(c10::kCUDA, &memory, 255);
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fall_back>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", empty_in_format);
  library.impl("empty_strided", empty_strided);
  library.impl("copy_", copy_into);
  library.impl("view", view);
  library.impl("as_strided", as_strided);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("set_.source_Storage", set_whole_storage);
  library.impl("set_.source_Storage_storage_offset", set_storage);
  // PyTorch composes these of kernels that its CPU build lacks for CUDA.
  for (const char* name : {"convolution", "convolution_backward"})
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&fall_back>());
}

}  // namespace

C10_REGISTER_GUARD_IMPL(CUDA, Guard)
namespace at {
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, Hooks)
}

extern "C" void set_recording(bool now) { recording = now; }

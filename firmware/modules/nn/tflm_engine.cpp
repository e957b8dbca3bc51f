/* TensorFlow Lite Micro as an engine.
 *
 * An arena that is too small makes TFLM write through null pointers: many kernels do not look at what they
 * allocate. Therefore the arena is watched here, and an allocation that does not fit leaves TFLM by longjmp
 * before it comes about. All that TFLM had begun lies in arena and instance, which are then garbage; nothing
 * of it holds anything else, and a failed interpreter is never used again.
 */
#include "engine.h"

#include <algorithm>
#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

#include "tensorflow/lite/micro/arena_allocator/single_arena_buffer_allocator.h"
#include "tensorflow/lite/micro/memory_planner/greedy_memory_planner.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/micro_resource_variable.h"

#include "tflm_model.h"
#include "tflm_ops.h" /* CICADA_TFLM_OP_COUNT, CICADA_TFLM_ADD_OPS: written by scripts/embed_models.py */

/* Where TFLM's messages go while a model is being loaded; else they go to the console. */
static char *message = nullptr;

/* TFLM's way out for text. Defined here, these two replace the component's debug_log.cc. */
extern "C" void DebugLog(const char *format, va_list arguments) {
    if (message == nullptr) {
        std::vfprintf(stderr, format, arguments);
    } else if (message[0] == 0) { /* the first says most */
        std::vsnprintf(message, NN_REASON, format, arguments);
    }
}

extern "C" int DebugVsnprintf(char *buffer, size_t size, const char *format, va_list arguments) {
    return std::vsnprintf(buffer, size, format, arguments);
}

namespace {

using Resolver = tflite::MicroMutableOpResolver<CICADA_TFLM_OP_COUNT>;

class Arena : public tflite::SingleArenaBufferAllocator {
  public:
    Arena(uint8_t *start, size_t size, std::jmp_buf *failed)
        : SingleArenaBufferAllocator(start, size), failed_(failed) {
    }

    /* From the end downwards. */
    uint8_t *AllocatePersistentBuffer(size_t size, size_t alignment) override {
        watch(size, (address(tail()) - size) % alignment, tail() - head());
        return SingleArenaBufferAllocator::AllocatePersistentBuffer(size, alignment);
    }

    uint8_t *AllocateTemp(size_t size, size_t alignment) override {
        const ptrdiff_t room = static_cast<ptrdiff_t>(GetAvailableMemory(1));
        watch(size, -(address(tail()) - static_cast<uintptr_t>(room)) % alignment, room);
        return SingleArenaBufferAllocator::AllocateTemp(size, alignment);
    }

    TfLiteStatus ResizeBuffer(uint8_t *buffer, size_t size, size_t alignment) override {
        watch(size, -address(GetOverlayMemoryAddress()) % alignment, tail() - GetOverlayMemoryAddress());
        return SingleArenaBufferAllocator::ResizeBuffer(buffer, size, alignment);
    }

    /* From now on what does not fit fails as TFLM has it, with a null pointer. */
    void stop_watching() {
        failed_ = nullptr;
    }

    /* Leaves for want of `bytes` at least. */
    void lack(size_t bytes) {
        if (failed_ != nullptr) {
            missing_ = bytes;
            std::longjmp(*failed_, 1);
        }
    }

    /* What was said to be lacking. */
    size_t missing() const {
        return missing_;
    }

    TF_LITE_REMOVE_VIRTUAL_DELETE

  private:
    static uintptr_t address(const uint8_t *pointer) {
        return reinterpret_cast<uintptr_t>(pointer);
    }

    /* Leaves if `size` bytes and `lost` for their alignment are more than `room`. */
    void watch(size_t size, size_t lost, ptrdiff_t room) {
        const size_t available = room > 0 ? static_cast<size_t>(room) : 0;
        if (size > available || lost > available - size) {
            lack(std::min<size_t>(size, NN_MODEL_MAX) + lost - std::min(available, size + lost));
        }
    }

    std::jmp_buf *failed_;
    size_t missing_ = 0;
};

/* The planner works in what is left of the arena; too little of it is not an allocation that fails. */
class Planner : public tflite::GreedyMemoryPlanner {
  public:
    explicit Planner(Arena *arena) : arena_(arena) {
    }

    using GreedyMemoryPlanner::AddBuffer;

    TfLiteStatus AddBuffer(int size, int first_used, int last_used) override {
        const TfLiteStatus status = GreedyMemoryPlanner::AddBuffer(size, first_used, last_used);
        if (status != kTfLiteOk) {
            arena_->lack(per_buffer_size());
        }
        return status;
    }

    TF_LITE_REMOVE_VIRTUAL_DELETE

  private:
    Arena *arena_;
};

/* Memory for a T that is made later, if ever. */
template <typename T> struct Room {
    alignas(T) uint8_t bytes[sizeof(T)];
    T *get() {
        return reinterpret_cast<T *>(bytes);
    }
};

struct Instance {
    Room<Arena> arena;
    Room<Planner> planner;
    Room<tflite::MicroInterpreter> interpreter;
};
static_assert(alignof(Instance) <= NN_ALIGNMENT, "the caller aligns instances to NN_ALIGNMENT");

/* The built-in models' operators, the same for all models; null if one cannot be registered. */
const Resolver *operators() {
    static Room<Resolver> room;
    static const Resolver *ready = nullptr;
    if (ready == nullptr) {
        Resolver *resolver = new (room.bytes) Resolver();
        ready = CICADA_TFLM_ADD_OPS(*resolver) ? resolver : nullptr;
    }
    return ready;
}

bool probe(const uint8_t *model, size_t size) {
    return size >= 8 && std::memcmp(model + 4, tflite::ModelIdentifier(), 4) == 0;
}

nn_status plan(const uint8_t *model, size_t size, nn_info *info) {
    if (operators() == nullptr) {
        std::snprintf(info->reason, sizeof(info->reason), "this firmware's list of operators is faulty");
        return NN_INVALID;
    }
    return cicada::check_model(model, size, *operators(), info) == nullptr ? NN_INVALID : NN_OK;
}

/* Makes the interpreter; all allocations of a load are in here. */
TfLiteStatus start(Instance *self, const tflite::Model *model) {
    auto *planner = new (self->planner.bytes) Planner(self->arena.get());
    tflite::MicroAllocator *allocator = tflite::MicroAllocator::Create(self->arena.get(), planner);
    const int variables = cicada::count_variables(*model);
    tflite::MicroResourceVariables *resources =
        variables == 0 ? nullptr : tflite::MicroResourceVariables::Create(allocator, variables);
    auto *interpreter =
        new (self->interpreter.bytes) tflite::MicroInterpreter(model, *operators(), allocator, resources);
    return interpreter->AllocateTensors();
}

nn_status load(void *instance, const uint8_t *model, size_t size, void *arena, size_t arena_size,
               nn_info *info) {
    (void)size; /* plan has looked */
    Instance *const self = static_cast<Instance *>(instance);
    std::jmp_buf failed;
    new (self->arena.bytes) Arena(static_cast<uint8_t *>(arena), arena_size, &failed);
    info->reason[0] = 0;
    message = info->reason;
    if (setjmp(failed) != 0) {
        message = nullptr;
        info->arena = arena_size + self->arena.get()->missing();
        return NN_ARENA;
    }
    const TfLiteStatus status = start(self, tflite::GetModel(model));
    message = nullptr;
    if (status != kTfLiteOk) {
        if (info->reason[0] == 0) {
            std::snprintf(info->reason, sizeof(info->reason), "TFLM cannot run it and does not say why");
        }
        return NN_INVALID;
    }
    self->arena.get()->stop_watching();
    info->input.data = self->interpreter.get()->input(0)->data.data;
    info->output.data = self->interpreter.get()->output(0)->data.data;
    info->arena = self->arena.get()->GetUsedBytes();
    return NN_OK;
}

bool invoke(void *instance) {
    return static_cast<Instance *>(instance)->interpreter.get()->Invoke() == kTfLiteOk;
}

bool state_reset(void *instance) {
    return static_cast<Instance *>(instance)->interpreter.get()->Reset() == kTfLiteOk;
}

void unload(void *instance) {
    static_cast<Instance *>(instance)->interpreter.get()->~MicroInterpreter();
}

} // namespace

extern "C" const nn_engine nn_tflm = {"TFLM", sizeof(Instance), probe,   plan,   load,
                                      invoke, state_reset,      nullptr, unload, nullptr};

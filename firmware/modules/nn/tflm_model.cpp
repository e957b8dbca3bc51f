/* The layout checked here: tensorflow/compiler/mlir/lite/schema/schema.fbs. */
#include "tflm_model.h"

#include <algorithm>
#include <cstdio>

#include "flatbuffers/flatbuffers.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_utils.h"

namespace cicada {
namespace {

constexpr uint64_t kMostValues = NN_MODEL_MAX;
/* What TFLM keeps for a model, for each of its tensors and for each of its operators; only a first guess. */
constexpr size_t kBytesForModel = 1500, kBytesForTensor = 16, kBytesForOperator = 160;

/* Notes a reason; false, to be returned. */
template <typename... Values> bool refuse(nn_info *info, const char *format, Values... values) {
    std::snprintf(info->reason, sizeof(info->reason), format, values...);
    return false;
}

/* Bits of a value; 0 for types that TFLM has no kernels for. */
unsigned bits_of(tflite::TensorType type) {
    switch (type) {
    case tflite::TensorType_INT4:
        return 4;
    case tflite::TensorType_INT8:
    case tflite::TensorType_UINT8:
    case tflite::TensorType_BOOL:
        return 8;
    case tflite::TensorType_INT16:
    case tflite::TensorType_FLOAT16:
        return 16;
    case tflite::TensorType_INT32:
    case tflite::TensorType_FLOAT32:
    case tflite::TensorType_RESOURCE:
        return 32;
    case tflite::TensorType_INT64:
        return 64;
    default:
        return 0;
    }
}

/* Bytes of a tensor's values, at most kMostValues of them; -1 if they cannot be. */
int64_t bytes_of(const tflite::Tensor &tensor) {
    uint64_t values = 1;
    if (tensor.shape() != nullptr) {
        for (int32_t dimension : *tensor.shape()) {
            values *= static_cast<uint64_t>(std::max<int32_t>(dimension, 0));
            if (dimension < 0 || values > kMostValues) {
                return -1;
            }
        }
    }
    const unsigned bits = bits_of(tensor.type());
    return bits == 0 ? -1 : static_cast<int64_t>((values * bits + 7) / 8);
}

bool check_tensor(const tflite::Model &model, const tflite::Tensor &tensor, unsigned index, nn_info *info) {
    const int64_t bytes = bytes_of(tensor);
    if (bytes < 0 || tensor.sparsity() != nullptr) {
        return refuse(info, "tensor %u has a type or shape that cannot be run", index);
    }
    if (tensor.buffer() >= model.buffers()->size()) {
        return refuse(info, "tensor %u has no buffer", index);
    }
    const auto *data = model.buffers()->Get(tensor.buffer())->data();
    if (data != nullptr && data->size() != 0 && data->size() < static_cast<uint64_t>(bytes)) {
        return refuse(info, "the buffer of tensor %u is too short", index);
    }
    return true;
}

/* True if every entry is the number of one of `count` tensors; with `optional`, -1 stands for none. */
bool in_range(const flatbuffers::Vector<int32_t> *indices, size_t count, bool optional) {
    return indices == nullptr || std::all_of(indices->begin(), indices->end(), [&](int32_t index) {
               return (index >= 0 && static_cast<size_t>(index) < count) || (optional && index == -1);
           });
}

bool check_operator(const tflite::Model &model, const tflite::SubGraph &graph, const tflite::Operator &op,
                    const tflite::MicroOpResolver &operators, nn_info *info) {
    if (op.opcode_index() >= model.operator_codes()->size()) {
        return refuse(info, "an operator has no code");
    }
    const tflite::OperatorCode *code = model.operator_codes()->Get(op.opcode_index());
    const tflite::BuiltinOperator builtin = tflite::GetBuiltinCode(code);
    if (builtin == tflite::BuiltinOperator_CUSTOM || operators.FindOp(builtin) == nullptr) {
        return refuse(info, "operator %s is not in this firmware", tflite::EnumNameBuiltinOperator(builtin));
    }
    const size_t count = graph.tensors()->size();
    if (op.inputs() == nullptr || op.outputs() == nullptr || !in_range(op.inputs(), count, true) ||
        !in_range(op.outputs(), count, false) || !in_range(op.intermediates(), count, true)) {
        return refuse(info, "an operator %s uses a tensor that is not there",
                      tflite::EnumNameBuiltinOperator(builtin));
    }
    return true;
}

bool check_graph(const tflite::Model &model, const tflite::SubGraph &graph,
                 const tflite::MicroOpResolver &operators, nn_info *info) {
    if (graph.tensors() == nullptr || graph.operators() == nullptr || graph.inputs() == nullptr ||
        graph.outputs() == nullptr) {
        return refuse(info, "a graph lacks tensors, operators, inputs or outputs");
    }
    for (unsigned i = 0; i < graph.tensors()->size(); i++) {
        if (!check_tensor(model, *graph.tensors()->Get(i), i, info)) {
            return false;
        }
    }
    for (const tflite::Operator *op : *graph.operators()) {
        if (!check_operator(model, graph, *op, operators, info)) {
            return false;
        }
    }
    const size_t count = graph.tensors()->size();
    if (!in_range(graph.inputs(), count, false) || !in_range(graph.outputs(), count, false)) {
        return refuse(info, "an input or output is a tensor that is not there");
    }
    return true;
}

/* Describes the only input or output. */
bool describe(const tflite::SubGraph &graph, const flatbuffers::Vector<int32_t> &indices, const char *what,
              nn_tensor *result, nn_info *info) {
    if (indices.size() != 1) {
        return refuse(info, "it has %u %ss instead of one", static_cast<unsigned>(indices.size()), what);
    }
    const tflite::Tensor *tensor = graph.tensors()->Get(static_cast<unsigned>(indices.Get(0)));
    const auto *quantisation = tensor->quantization();
    if (tensor->type() != tflite::TensorType_INT8 || quantisation == nullptr ||
        quantisation->scale() == nullptr || quantisation->scale()->size() != 1 ||
        quantisation->zero_point() == nullptr || quantisation->zero_point()->size() != 1) {
        return refuse(info, "its %s is not int8 with one scale and zero point", what);
    }
    if (tensor->shape() == nullptr || tensor->shape()->size() > NN_RANK || bytes_of(*tensor) == 0) {
        return refuse(info, "its %s has no dimensions, or more than %d", what, NN_RANK);
    }
    result->rank = tensor->shape()->size();
    std::copy(tensor->shape()->begin(), tensor->shape()->end(), result->shape);
    result->size = static_cast<size_t>(bytes_of(*tensor));
    result->scale = quantisation->scale()->Get(0);
    result->zero_point = static_cast<int32_t>(quantisation->zero_point()->Get(0));
    return true;
}

/* Memory of the operator that needs most for its own inputs and outputs, and what TFLM keeps. */
size_t guess_arena(const tflite::Model &model) {
    size_t guess = kBytesForModel, most = 0;
    for (const tflite::SubGraph *graph : *model.subgraphs()) {
        guess += kBytesForTensor * graph->tensors()->size() + kBytesForOperator * graph->operators()->size();
        for (const tflite::Operator *op : *graph->operators()) {
            size_t here = 0;
            for (const auto *indices : {op->inputs(), op->outputs()}) {
                for (int32_t index : *indices) {
                    const auto *tensor =
                        index < 0 ? nullptr : graph->tensors()->Get(static_cast<unsigned>(index));
                    const auto *data =
                        tensor == nullptr ? nullptr : model.buffers()->Get(tensor->buffer())->data();
                    if (tensor != nullptr && (data == nullptr || data->size() == 0)) {
                        here += static_cast<size_t>(bytes_of(*tensor));
                    }
                }
            }
            most = std::max(most, here);
        }
    }
    return guess + most;
}

} // namespace

const tflite::Model *check_model(const uint8_t *bytes, size_t size, const tflite::MicroOpResolver &operators,
                                 nn_info *info) {
    flatbuffers::Verifier verifier(bytes, size);
    if (!tflite::VerifyModelBuffer(verifier)) {
        refuse(info, "its flatbuffer is damaged");
        return nullptr;
    }
    const tflite::Model *model = tflite::GetModel(bytes);
    if (model->version() != TFLITE_SCHEMA_VERSION) {
        refuse(info, "its schema is version %u, not %d", static_cast<unsigned>(model->version()),
               TFLITE_SCHEMA_VERSION);
        return nullptr;
    }
    if (model->subgraphs() == nullptr || model->subgraphs()->size() == 0 || model->buffers() == nullptr ||
        model->operator_codes() == nullptr) {
        refuse(info, "it has no graph, no buffers or no operators");
        return nullptr;
    }
    for (const tflite::SubGraph *graph : *model->subgraphs()) {
        if (!check_graph(*model, *graph, operators, info)) {
            return nullptr;
        }
    }
    const tflite::SubGraph &graph = *model->subgraphs()->Get(0);
    if (!describe(graph, *graph.inputs(), "input", &info->input, info) ||
        !describe(graph, *graph.outputs(), "output", &info->output, info)) {
        return nullptr;
    }
    info->arena = guess_arena(*model);
    return model;
}

int count_variables(const tflite::Model &model) {
    int count = 0;
    for (const tflite::SubGraph *graph : *model.subgraphs()) {
        for (const tflite::Operator *op : *graph->operators()) {
            const auto *code = model.operator_codes()->Get(op->opcode_index());
            count += tflite::GetBuiltinCode(code) == tflite::BuiltinOperator_VAR_HANDLE;
        }
    }
    return count;
}

} // namespace cicada

/* kernels.h: the body of every isa_*.c. Each of them chooses its instruction set, defines FLM_NAME and FLM_TABLE, and
 * includes this file, which compiles all the kernels again as static functions and fills the table with them. */
#include "fastlm.h"
#include "vec.h"
#include "checks.c"
#include "rows.c"
#include "softmax.c"
#include "activation.c"
#include "hash.c"
#include "product.c"
#include "dense.c"
#include "int8.c"
#include "matrix.c"
#include "lstm.c"
#include "gru.c"
#include "sru.c"
#include "norm.c"
#include "attention_lane.c"
#include "attention.c"
#include "optimizer.c"

extern const flm_kernels FLM_TABLE;
const flm_kernels FLM_TABLE = {
    .name = FLM_NAME,
    .first_bad_id = first_bad_id,
    .first_bad_row = first_bad_row,
    .first_bad_size = first_bad_size,
    .gather = gather,
    .scatter_add = scatter_add,
    .position_rows = position_rows,
    .prefix_sum = prefix_sum,
    .suffix_sum = suffix_sum,
    .decayed_sum = decayed_sum,
    .decayed_sum_back = decayed_sum_back,
    .last_ids = last_ids,
    .add_bytes = add_bytes,
    .add_bytes_back = add_bytes_back,
    .softmax = softmax,
    .log_softmax = log_softmax,
    .cross_entropy = cross_entropy,
    .softmax_cross_entropy = softmax_cross_entropy,
    .softmax_squared = softmax_squared,
    .add = add,
    .add_bias = add_bias,
    .sum_rows = sum_rows,
    .multiply = multiply,
    .multiply_add = multiply_add,
    .tanh = tanh_forward,
    .tanh_back = tanh_back,
    .sigmoid = sigmoid,
    .sigmoid_back = sigmoid_back,
    .relu = relu,
    .relu_back = relu_back,
    .relu_squared = relu_squared,
    .relu_squared_back = relu_squared_back,
    .dropout = dropout,
    .hashed_rows = hashed_rows,
    .panel_pack = panel_pack,
    .panel_pack_back = panel_pack_back,
    .panel_product = panel_product,
    .panel_product_back = panel_product_back,
    .panel_weights = panel_weights,
    .panel_sum = panel_sum,
    .panel_scatter = panel_scatter,
    .dense_product = dense_product,
    .lstm_gates = lstm_gates,
    .lstm_forward = lstm_forward,
    .lstm_backward = lstm_backward,
    .lstm_step = lstm_step,
    .gru_forward = gru_forward,
    .gru_backward = gru_backward,
    .gru_step = gru_step,
    .rms_norm = rms_norm,
    .rms_norm_back = rms_norm_back,
    .sru_forward = sru_forward,
    .sru_backward = sru_backward,
    .layer_norm = layer_norm,
    .layer_norm_back = layer_norm_back,
    .gelu = gelu,
    .multiply_sum = multiply_sum,
    .residual = residual,
    .attention_spans = attention_spans,
    .attention_scratch = attention_scratch,
    .attention_forward = attention_forward,
    .attention_backward = attention_backward,
    .attention_carry = attention_carry,
    .add_product = add_product,
    .int8_bytes = int8_bytes,
    .int8_pack = int8_pack,
    .int8_rows = int8_rows,
    .sgd = sgd,
    .momentum = momentum,
    .adagrad = adagrad,
    .adamw = adamw,
    .sum_squares = sum_squares,
    .add_sum_squares = add_sum_squares,
};

/* fastlm.h: the contract of the kernels of rows and matrices (simd/), and of drawing ids (sample.c). What is counted is
 * in ngram.h, the word table in words.h.
 *
 * Every array belongs to the caller; nothing here allocates, prints, reads files or keeps state. Arrays are float32 in
 * C order, token ids are int32, extents and indices size_t. Reductions run in double; the sums of exponentials in
 * simd/softmax.inc take runs of 8 in float first. Outputs come first, sizes last. `d` before a name marks the gradient
 * of that name; gradients are added unless a line says otherwise. Unless a line says otherwise outputs may not overlap
 * inputs. Sums run in a fixed order of 16 lanes, so that every instruction set gives the same bytes; only the products
 * of simd/product.inc are an exception.
 *
 * Letters: N rows (tokens) in all, S sequences, T time steps, V vocabulary, D and H widths, P longest position.
 *
 * Packed sequences. The rows of S sequences are laid out time step after time step: step t holds the rows of the first
 * size[t] sequences, size[0] >= size[1] >= ..., and N = sum of size. `starts` (N) or NULL flags the rows before which a
 * new document begins: what came earlier in that sequence is forgotten before the row is read. */
#ifndef FASTLM_H
#define FASTLM_H

#include <stddef.h>
#include <stdint.h>

/* One optimiser step. The gradient used is scale*g + l2*p; decay is decoupled from it (Loshchilov & Hutter 2019). */
typedef struct flm_rate {
    float lr, scale, l2, decay; /* learning rate; clipping factor; coefficient of 1/2 l2 |p|^2; weight decay */
    float momentum;             /* SGD with momentum */
    double beta1, beta2;        /* AdamW; in double, so that 1 - beta keeps its digits */
    float epsilon;              /* AdamW and AdaGrad */
    float correct1, correct2;   /* AdamW: 1 - beta1^t and 1 - beta2^t */
} flm_rate;

/* What rows are multiplied by: float32, or one byte a weight as int8_pack lays it out, weight = scale[n] * byte. */
typedef struct flm_matrix {
    const float *dense;   /* (K,N), or (N,K) where transposed; NULL where packed */
    const int8_t *packed; /* int8_bytes(K, N) bytes, or NULL */
    const float *scale;   /* (N) of packed */
    size_t K, N;
    int transposed;
} flm_matrix;

/* A matrix as it lies: element (r,c) at at[r*by_row + c*by_column], one of which is 1. */
typedef struct flm_strided {
    const float *at;
    size_t by_row, by_column;
} flm_strided;
enum { FLM_ROOM = 1 << 16 }; /* floats that dense_product packs in */

/* Attention of H heads of D over S packed sequences. Sequence s sees the entries of its past and then its own rows,
 * numbered from 0: row n of step t is key length[s] + t. */
typedef struct flm_attention {
    const float *qkv;      /* (N,3HD): queries, keys and values, head after head */
    const float *past;     /* (S,L,2HD): keys and values of earlier rows, oldest first */
    const float *slope;    /* (H): what a key loses for each row that lies between it and the query */
    const int64_t *length; /* (S): entries of the past, up to L */
    const int64_t *first;  /* (N): the first key that a row sees; never falling along a sequence */
    const int64_t *offset; /* (T+1): the first row of every step */
    size_t T, S, L, H, D;
} flm_attention;

typedef struct flm_kernels {
    const char *name; /* "portable", "avx2" or "avx512" */

    /* simd/checks.inc ---------------------------------------------------------------------------------------------- */
    /* The first n with id[n] outside [lowest, V), or N where there is none; lowest is 0, or -1 where an id may be
     * absent. */
    size_t (*first_bad_id)(const int32_t *id, int32_t lowest, size_t N, size_t V);
    size_t (*first_bad_row)(const int64_t *row, int64_t lowest, size_t N, size_t R);
    /* The first t with size[t] > size[t-1], for t = 0 > S; or T, and *rows = the sum of size. */
    size_t (*first_bad_size)(size_t *rows, const size_t *size, size_t T, size_t S);

    /* simd/rows.inc ------------------------------------------------------------------------------------------------ */
    /* out[n,:] = table[row[n],:], zeros where row[n] < 0.  table (R,D), row (N), out (N,D) */
    void (*gather)(float *out, const float *table, const int64_t *row, size_t N, size_t D);
    /* dtable[row[n],:] += dout[n,:], nothing where row[n] < 0; in the order of n */
    void (*scatter_add)(float *dtable, const float *dout, const int64_t *row, size_t N, size_t D);
    /* Rows of the table of a positional one-hot product: row[n] = p*V + id[n] with p the position of row n in its
     * document, -1 from position P on.  position (S), in and out: tokens already read. */
    void (*position_rows)(int64_t *row, int64_t *position, const int32_t *id, const uint8_t *starts, const size_t *size,
                          size_t T, size_t P, size_t V);
    /* Running sums: carry[s,:] += table[row[n],:]; out[n,:] = bias + carry[s,:].  The one-hot matrix is never built.
     * carry (S,V) in and out; bias (V) or NULL; row -1 adds nothing.  Cost N*V. */
    void (*prefix_sum)(float *out, float *carry, const float *table, const float *bias, const int64_t *row,
                       const uint8_t *starts, const size_t *size, size_t T, size_t V);
    /* Its gradient, running from the other end: running[s,:] += dout[n,:]; dtable[row[n],:] += running[s,:]; forgotten
     * at the start of a document.  running (S,V) is zero on entry, scratch on exit. */
    void (*suffix_sum)(float *dtable, float *running, const float *dout, const int64_t *row, const uint8_t *starts,
                       const size_t *size, size_t T, size_t V);
    /* Decayed sums at K rates: carry[s,k,:] = rate[k]*carry[s,k,:] + x[n,:]; out[n,k,:] = carry[s,k,:].
     * x (N,D), out (N,K,D), carry (S,K,D) in and out.  FOFE, Zhang et al. 2015. */
    void (*decayed_sum)(float *out, float *carry, const float *x, const float *rate, const uint8_t *starts,
                        const size_t *size, size_t T, size_t K, size_t D);
    /* running[s,k,:] += dout[n,k,:]; dx[n,:] += sum_k running[s,k,:]; running[s,k,:] *= rate[k], 0 at a start.
     * running (S,K,D) is zero on entry, scratch on exit. */
    void (*decayed_sum_back)(float *dx, float *running, const float *dout, const float *rate, const uint8_t *starts,
                             const size_t *size, size_t T, size_t K, size_t D);
    /* The last L ids of every prefix, newest first, -1 before the document's start.
     * out (N,L); carry (S,L-1) in and out: the ids before the first row, newest first. */
    void (*last_ids)(int64_t *out, int64_t *carry, const int32_t *id, const uint8_t *starts, const size_t *size,
                     size_t T, size_t L);
    /* out[n,:] += unit * sum_k scale[n,k] * table[k,row[n],:].  out (N,V), scale (N,K), table (K,R,V), row (N) */
    void (*add_bytes)(float *out, const float *scale, const uint8_t *table, const int64_t *row, float unit, size_t N,
                      size_t K, size_t R, size_t V);
    /* Its gradient: dscale[n,k] += unit * dout[n,:] . table[k,row[n],:] */
    void (*add_bytes_back)(float *dscale, const float *dout, const uint8_t *table, const int64_t *row, float unit,
                           size_t N, size_t K, size_t R, size_t V);

    /* simd/softmax.inc --------------------------------------------------------------------------------------------- */
    /* out[n,v] = exp(x[n,v]) / sum_v exp(x[n,v]); out may be x */
    void (*softmax)(float *out, const float *x, size_t N, size_t V);
    /* out[n,v] = x[n,v] - log sum_v exp(x[n,v]); out may be x */
    void (*log_softmax)(float *out, const float *x, size_t N, size_t V);
    /* loss[n] = -log softmax(x[n])[target[n]]; 0 where target[n] < 0 */
    void (*cross_entropy)(double *loss, const float *x, const int32_t *target, size_t N, size_t V);
    /* The same loss, and x becomes its gradient in place: scale*(softmax(x) - onehot(target)); 0 where target < 0 */
    void (*softmax_cross_entropy)(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V);
    /* loss[n] = |softmax(x[n]) - onehot(target[n])|^2 and x becomes scale * its gradient:
     * with p = softmax(x), e = p - onehot:  2 p * (e - sum_v e[v] p[v]) */
    void (*softmax_squared)(float *x, double *loss, const int32_t *target, float scale, size_t N, size_t V);

    /* simd/activation.inc ------------------------------------------------------------------------------------------ */
    void (*add)(float *out, const float *x, size_t n);                           /* out += x */
    void (*add_bias)(float *x, const float *bias, size_t N, size_t D);           /* x[n,:] += bias */
    void (*sum_rows)(float *dbias, const float *dx, size_t N, size_t D);         /* dbias += sum_n dx */
    void (*multiply)(float *out, const float *a, const float *b, size_t n);      /* out = a*b; may alias */
    void (*multiply_add)(float *out, const float *a, const float *b, size_t n);  /* out += a*b */
    void (*tanh)(float *out, const float *x, size_t n);                          /* out may be x */
    void (*tanh_back)(float *dx, const float *dout, const float *out, size_t n); /* dx += dout*(1-out^2) */
    void (*sigmoid)(float *out, const float *x, size_t n);
    void (*sigmoid_back)(float *dx, const float *dout, const float *out, size_t n); /* += dout*out*(1-out) */
    void (*relu)(float *out, const float *x, size_t n);
    void (*relu_back)(float *dx, const float *dout, const float *out, size_t n);       /* += dout where out>0 */
    void (*relu_squared)(float *out, const float *x, size_t n);                        /* max(x,0)^2 */
    void (*relu_squared_back)(float *dx, const float *dout, const float *x, size_t n); /* dx += dout*2*max(x,0) */
    /* out[i] = x[i]/keep or 0, kept with probability keep, drawn from (seed, i) alone, so that the way back calls it
     * again with add = 1: out[i] += ... .  keep in (0,1]; out may be x when add = 0 */
    void (*dropout)(float *out, const float *x, float keep, uint64_t seed, int add, size_t n);

    /* simd/hashed_rows.inc ----------------------------------------------------------------------------------------- */
    /* row[n,k] = k*buckets + hash(the last order[k] ids) mod buckets, -1 where the document is
     * shorter. row (N,K); last (N,L) from last_ids; order (K) rising, from 1 to L */
    void (*hashed_rows)(int64_t *row, const int64_t *last, const int64_t *order, size_t N, size_t L, size_t K,
                        size_t buckets);

    /* simd/product.inc: products with gate panels ------------------------------------------------------------------ */
    /* (R,GH), G = 3 or 4, as panels: ceil(H/16) of them, panel j holding row after row the G gates of units 16j..16j+15
     * side by side; beyond H any finite number: R * G * 16*ceil(H/16) floats. One chain of multiply-adds an element,
     * fused but in the portable table, whose last digits therefore differ. Cost 2 G R K H */
    /* out = w (K,GH), gate after gate, as panel_product reads it: panels of K rows */
    void (*panel_pack)(float *out, const float *w, size_t K, size_t H, size_t G);
    /* out = w (K,GH) transposed as the ways back read it; G * 16*ceil(H/16) * 16*ceil(K/16) floats */
    void (*panel_pack_back)(float *out, const float *w, size_t K, size_t H, size_t G);
    /* panels (R,GH), assigned, = x (R,K) w + bias (GH) */
    void (*panel_product)(float *panels, const float *x, const float *packed, const float *bias, size_t R, size_t K,
                          size_t H, size_t G);
    /* dx (R,K) += dpanels w^T, packed by panel_pack_back */
    void (*panel_product_back)(float *dx, const float *dpanels, const float *packed, size_t R, size_t K, size_t H,
                               size_t G);
    /* dw (K,GH) += x^T (K,R) dpanels */
    void (*panel_weights)(float *dw, const float *x, const float *dpanels, size_t R, size_t K, size_t H, size_t G);
    /* dbias (GH) += sum of the rows of dpanels, in double */
    void (*panel_sum)(float *dbias, const float *dpanels, size_t R, size_t H, size_t G);
    /* Rows of panels: out's row[n] += panels' row n, out of R rows, panels of N */
    void (*panel_scatter)(float *out, const float *panels, const int64_t *row, size_t N, size_t R, size_t H, size_t G);

    /* simd/dense.inc: products of matrices as they lie ------------------------------------------------------------- */
    /* out (M,N), rows by_row floats apart, = a (M,K) b (K,N), or += with adds = 1. room: FLM_ROOM floats of scratch.
     * Fused multiply-adds but in the portable table, as above. Cost 2 M N K */
    void (*dense_product)(float *out, size_t by_row, const flm_strided *a, const flm_strided *b, size_t M, size_t N,
                          size_t K, int adds, float *room);

    /* simd/lstm.inc: gates in the order i f g o, as PyTorch's (Hochreiter & Schmidhuber 1997, Gers et al. 2000) ---- */
    /* gates (B,4H) += recurrent (B,4H) (skipped when NULL), then i f o through the sigmoid, g through tanh, in place;
     * c = f*c_prev + i*g; h = o*tanh(c).  c_prev (B,H) or NULL for zeros; c may be c_prev */
    void (*lstm_gates)(float *h, float *c, float *gates, const float *recurrent, const float *c_prev, size_t B,
                       size_t H);
    /* A layer along packed sequences of N rows. gates: panels, assigned; inputs: panels of R rows, bias included, of
     * which row n reads row[n], or its own where row is NULL (R = N; gates may be inputs then). h, c (N,H), assigned.
     * h_prev, c_prev (N,H): the same before each row; their first size[0] rows are given. packed: the recurrent matrix
     * by panel_pack */
    void (*lstm_forward)(float *h, float *c, float *gates, float *h_prev, float *c_prev, const float *packed,
                         const float *inputs, const int64_t *row, const uint8_t *starts, const size_t *size, size_t T,
                         size_t N, size_t R, size_t H);
    /* gates become the gradient of what the nonlinearities read, assigned. dh (N,H) in: the gradient of h from above,
     * out: all of it. dc (S,H) is zero on entry, scratch on exit. packed: the recurrent matrix by panel_pack_back */
    void (*lstm_backward)(float *gates, float *dh, float *dc, const float *c, const float *c_prev, const float *packed,
                          const uint8_t *starts, const size_t *size, size_t T, size_t N, size_t H);

    /* One step of one layer, from its input x (S,K): gates = bias + x @ input + h_prev @ recurrent, then lstm_gates.
     * h, c, h_prev, c_prev (S,H), gates (S,4H) scratch, bias (4H); h may be h_prev and c may be c_prev */
    void (*lstm_step)(float *h, float *c, float *gates, const float *x, const flm_matrix *input,
                      const flm_matrix *recurrent, const float *bias, const float *h_prev, const float *c_prev,
                      size_t S, size_t H);

    /* simd/gru.inc: gates in the order r z n, as PyTorch's, the reset gate taken after the product (Cho et al. 2014) */
    /* As lstm_forward, with h = n + z*(h_prev - n), r z = sigmoid(sums), n = tanh(input + r*m) and
     * m = h_prev u + bias (H). gates: panels of r z n; kept: panels of N rows, of which the third gate becomes m. */
    void (*gru_forward)(float *h, float *gates, float *kept, float *h_prev, const float *packed, const float *bias,
                        const float *inputs, const int64_t *row, const uint8_t *starts, const size_t *size, size_t T,
                        size_t N, size_t R, size_t H);
    /* gates become the gradient of the inputs, kept that of h_prev u + bias (the third gate's alone has one), assigned.
     * dh as in lstm_backward */
    void (*gru_backward)(float *gates, float *kept, float *dh, const float *h_prev, const float *packed,
                         const uint8_t *starts, const size_t *size, size_t T, size_t N, size_t H);
    /* One step of one layer from x (S,K): input_bias (3H), bias (H); h, h_prev (S,H), gates and kept (S,3H) scratch; h
     * may be h_prev */
    void (*gru_step)(float *h, float *gates, float *kept, const float *x, const flm_matrix *input,
                     const flm_matrix *recurrent, const float *input_bias, const float *bias, const float *h_prev,
                     size_t S, size_t H);

    /* simd/sru.inc: Lei et al. 2018, with gates from the input alone; Zhang & Sennrich 2019 ------------------------ */
    /* out[n,:] = x[n,:] * scale[n], scale = 1 / sqrt(mean square + 1e-6).  x, out (N,D), scale (N) */
    void (*rms_norm)(float *out, float *scale, const float *x, size_t N, size_t D);
    void (*rms_norm_back)(float *dx, const float *dout, const float *out, const float *scale, size_t N, size_t D);
    /* A layer along packed sequences. gates (N,3H): f x r, of which f and r go through the sigmoid in place;
     * c = f*c_prev + (1-f)*x; h = r*c.  h, c (N,H), assigned; carry (S,H) in and out: c of every sequence */
    void (*sru_forward)(float *h, float *c, float *gates, float *carry, const uint8_t *starts, const size_t *size,
                        size_t T, size_t H);
    /* gates become the gradient of what they were before the sigmoids, assigned. dc (S,H) is zero on entry, scratch on
     * exit; first (S,H): carry as it was */
    void (*sru_backward)(float *gates, float *dc, const float *dh, const float *c, const float *first,
                         const uint8_t *starts, const size_t *size, size_t T, size_t H);

    /* simd/norm.inc: float sums of columns run in double ----------------------------------------------------------- */
    /* out[n,:] = (x[n,:] - mean) scale gain + bias with moments[n] = mean, scale = 1 / sqrt(variance + 1e-5).
     * Ba et al. 2016.  x, out (N,D), moments (N,2) */
    void (*layer_norm)(float *out, float *moments, const float *x, const float *gain, const float *bias, size_t N,
                       size_t D);
    /* sums (2,D) doubles are scratch */
    void (*layer_norm_back)(float *dx, float *dgain, float *dbias, double *sums, const float *dout, const float *x,
                            const float *moments, const float *gain, size_t N, size_t D);
    /* out = u sigmoid(2 c (u + 0.044715 u^3)) of u = x + bias, c = sqrt(2 / pi), and its derivative where slope is not
     * NULL.  out, slope, x (N,D), bias (D); out and slope may be x.  Hendrycks & Gimpel 2016 */
    void (*gelu)(float *out, float *slope, const float *x, const float *bias, size_t N, size_t D);
    /* dx (N,D) *= slope (N,D); dbias (D) += the sum of its rows */
    void (*multiply_sum)(float *dx, float *dbias, const float *slope, size_t N, size_t D);
    void (*residual)(float *out, const float *x, const float *bias, size_t N, size_t D); /* out += x + bias (D) */

    /* simd/attention.inc: Vaswani et al. 2017; penalties on distance: ALiBi, Press et al. 2022 --------------------- */
    /* first (N) as attention asks for it, with documents forgotten where they start and `window` keys at most (0: all);
     * kept (S): how many entries of a sequence what follows it may see, its past included.  length (S) */
    void (*attention_spans)(int64_t *first, int64_t *kept, const int64_t *length, const uint8_t *starts,
                            const size_t *size, size_t T, size_t S, size_t window);
    size_t (*attention_scratch)(const flm_attention *a); /* floats of scratch */
    /* out (N,HD) = the values of the keys seen, weighted by the softmax of q.k / sqrt(D) - slope * distance;
     * log_sum (N,H): the log of the exponentials' sum.  Cost 4 H D a pair of row and key */
    void (*attention_forward)(float *out, float *log_sum, float *scratch, const flm_attention *a);
    /* The same for one more row of every sequence, whose keys and values (S,H,P,D) lie in place already: row s sees the
     * length[s] entries before place `end`, its own the last of them; 1 <= length[s] <= end <= P. out (S,HD); qkv
     * (S,3HD), of which the queries are read; score: attention_step_scratch(P) floats. The past is read where it lies,
     * every key and value once. Cost 4 H D an entry seen */
    size_t (*attention_step_scratch)(size_t P);
    void (*attention_step)(float *out, float *score, const float *qkv, const float *keys, const float *values,
                           const float *slope, const int64_t *length, size_t end, size_t S, size_t P, size_t H,
                           size_t D);
    /* dqkv (N,3HD); the past gets no gradient */
    void (*attention_backward)(float *dqkv, float *scratch, const float *dout, const float *out, const float *log_sum,
                               const flm_attention *a);
    /* after (S,longest,2HD): the last kept[s] entries of every sequence, zeros after them */
    void (*attention_carry)(float *after, const int64_t *kept, size_t longest, const flm_attention *a);

    /* simd/matrix.inc and simd/int8.inc: few rows ------------------------------------------------------------------ */
    /* out (S,N) += x (S,K) @ m (K,N).  Reads m once for S rows; a row's bytes do not depend on the others. */
    void (*add_product)(float *out, const float *x, const flm_matrix *m, size_t S);
    /* How many bytes packed (K,N) weights take, and w (K,N) laid out in them. */
    size_t (*int8_bytes)(size_t K, size_t N);
    void (*int8_pack)(int8_t *packed, const int8_t *w, size_t K, size_t N);
    /* out[n,:] = scale[row[n]] * w[row[n],:], zeros where row[n] < 0.  w (R,D) as it is, scale (R), out (N,D) */
    void (*int8_rows)(float *out, const int8_t *w, const float *scale, const int64_t *row, size_t N, size_t D);

    /* simd/optimizer.inc: p moves, the state moves, g is zeroed ---------------------------------------------------- */
    void (*sgd)(float *p, float *g, size_t n, const flm_rate *r);
    void (*momentum)(float *p, float *v, float *g, size_t n, const flm_rate *r);        /* v = mu*v + g; p -= lr*v */
    void (*adagrad)(float *p, float *a, float *g, size_t n, const flm_rate *r);         /* Duchi et al. 2011 */
    void (*adamw)(float *p, float *m, float *v, float *g, size_t n, const flm_rate *r); /* Loshchilov & Hutter */
    double (*sum_squares)(const float *x, size_t n);
    double (*add_sum_squares)(float *out, const float *x, size_t n); /* out += x; sum_squares(out) */
} flm_kernels;

/* The table for an instruction set, or NULL where this build or this processor lacks it: "portable" is always there;
 * NULL or "" asks for the best. */
const flm_kernels *flm_kernels_for(const char *isa);

/* 1 where dense_product of this table is known to beat NumPy's BLAS: AMD processors from family 26 (Zen 5) on multiply
 * 512 bits at a time, and the OpenBLAS of NumPy 2.4 takes kernels of 256 bits there. */
int flm_multiplies_wider(const flm_kernels *kernels);

/* sample.c: draws an id from softmax(x / temperature) restricted to the top_k likeliest (0: all) and then to the
 * smallest set of them whose probability reaches top_p (1: all). temperature 0 is the argmax; ties go to the lower id.
 * u in [0,1) is the draw. Scratch: p (V) doubles, order (V). Returns the id, or -1 where a logit is NaN or none is
 * finite. V > 0 */
int32_t flm_sample(double *p, int32_t *order, const float *x, double temperature, size_t top_k, double top_p, double u,
                   size_t V);
/* The k largest of x, largest first, ties to the lower id. order (V) is scratch, its first k entries the answer. */
void flm_top_k(int32_t *order, const float *x, size_t k, size_t V);

/* coder.c: an arithmetic coder (a range coder of whole numbers). A symbol of probability p takes -log2 p bits, to a
 * thousandth where p is above 1e-6; p (V) in [0,1] need not sum to one, and both sides must have the same bytes of it. */
typedef struct flm_coder {
    uint64_t low, range; /* encoding: the numbers that are left; decoding: `range` and how far `code` is above them */
    uint64_t code;
    size_t full;  /* encoding: how many bytes of 255 are kept back, since a carry may change them */
    size_t read;  /* decoding: bytes that were read; past the end of the text they are zeros */
    int32_t held; /* encoding: the byte before these, or -1 */
} flm_coder;
void flm_coder_start(flm_coder *coder);
/* Writes a symbol: at most coder->full + 9 bytes to out; returns how many. V < 2^31. Cost V */
size_t flm_encode(flm_coder *coder, uint8_t *out, const float *p, size_t symbol, size_t V);
/* Writes what tells the last symbols: at most coder->full + 9 bytes. */
size_t flm_encode_end(flm_coder *coder, uint8_t *out);
/* Begins to read what `flm_encode` wrote; the text (n) begins at its first byte, or later at text[read]. */
void flm_decode_start(flm_coder *coder, const uint8_t *text, size_t n);
/* The next symbol, or V where the text was not written by these probabilities. Cost V */
size_t flm_decode(flm_coder *coder, const uint8_t *text, const float *p, size_t n, size_t V);

#endif

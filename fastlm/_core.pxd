"""csrc/fastlm.h, words.h and ngram.h as Cython reads them."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef void (*one_input)(float *, const float *, size_t) noexcept nogil
ctypedef void (*two_inputs)(float *, const float *, const float *, size_t) noexcept nogil
ctypedef void (*of_rows)(float *, const float *, const int64_t *, size_t, size_t) noexcept nogil

cdef extern from "fastlm.h" nogil:
    ctypedef struct flm_rate:
        float lr, scale, l2, decay, momentum, epsilon, correct1, correct2
        double beta1, beta2

    ctypedef struct flm_matrix:
        const float *dense
        const int8_t *packed
        const float *scale
        size_t K, N
        int transposed

    ctypedef struct flm_strided:
        const float *at
        size_t by_row, by_column

    enum:
        FLM_ROOM

    ctypedef struct flm_attention:
        const float *qkv
        const float *past
        const float *slope
        const int64_t *length
        const int64_t *first
        const int64_t *offset
        size_t T, S, L, H, D

    ctypedef struct flm_kernels:
        const char *name
        size_t (*first_bad_id)(const int32_t *, int32_t, size_t, size_t) noexcept nogil
        size_t (*first_bad_row)(const int64_t *, int64_t, size_t, size_t) noexcept nogil
        size_t (*first_bad_size)(size_t *, const size_t *, size_t, size_t) noexcept nogil
        of_rows gather, scatter_add
        void (*position_rows)(int64_t *, int64_t *, const int32_t *, const uint8_t *, const size_t *,
                              size_t, size_t, size_t) noexcept nogil
        void (*prefix_sum)(float *, float *, const float *, const float *, const int64_t *, const uint8_t *,
                           const size_t *, size_t, size_t) noexcept nogil
        void (*suffix_sum)(float *, float *, const float *, const int64_t *, const uint8_t *, const size_t *,
                           size_t, size_t) noexcept nogil
        void (*decayed_sum)(float *, float *, const float *, const float *, const uint8_t *, const size_t *,
                            size_t, size_t, size_t) noexcept nogil
        void (*decayed_sum_back)(float *, float *, const float *, const float *, const uint8_t *, const size_t *,
                                 size_t, size_t, size_t) noexcept nogil
        void (*last_ids)(int64_t *, int64_t *, const int32_t *, const uint8_t *, const size_t *,
                         size_t, size_t) noexcept nogil
        void (*add_bytes)(float *, const float *, const uint8_t *, const int64_t *, float, size_t, size_t, size_t,
                          size_t) noexcept nogil
        void (*add_bytes_back)(float *, const float *, const uint8_t *, const int64_t *, float, size_t, size_t, size_t,
                               size_t) noexcept nogil
        void (*softmax)(float *, const float *, size_t, size_t) noexcept nogil
        void (*log_softmax)(float *, const float *, size_t, size_t) noexcept nogil
        void (*cross_entropy)(double *, const float *, const int32_t *, size_t, size_t) noexcept nogil
        void (*softmax_cross_entropy)(float *, double *, const int32_t *, float, size_t, size_t) noexcept nogil
        void (*softmax_squared)(float *, double *, const int32_t *, float, size_t, size_t) noexcept nogil
        one_input add, tanh, sigmoid, relu, relu_squared
        two_inputs multiply, multiply_add, tanh_back, sigmoid_back, relu_back, relu_squared_back
        void (*add_bias)(float *, const float *, size_t, size_t) noexcept nogil
        void (*sum_rows)(float *, const float *, size_t, size_t) noexcept nogil
        void (*dropout)(float *, const float *, float, uint64_t, int, size_t) noexcept nogil
        void (*lstm_gates)(float *, float *, float *, const float *, const float *, size_t, size_t) noexcept nogil
        void (*hashed_rows)(int64_t *, const int64_t *, const int64_t *, size_t, size_t, size_t,
                            size_t) noexcept nogil
        void (*panel_pack)(float *, const float *, size_t, size_t, size_t) noexcept nogil
        void (*panel_pack_back)(float *, const float *, size_t, size_t, size_t) noexcept nogil
        void (*panel_product)(float *, const float *, const float *, const float *, size_t, size_t, size_t,
                              size_t) noexcept nogil
        void (*panel_product_back)(float *, const float *, const float *, size_t, size_t, size_t,
                                   size_t) noexcept nogil
        void (*panel_weights)(float *, const float *, const float *, size_t, size_t, size_t, size_t) noexcept nogil
        void (*panel_sum)(float *, const float *, size_t, size_t, size_t) noexcept nogil
        void (*panel_scatter)(float *, const float *, const int64_t *, size_t, size_t, size_t, size_t) noexcept nogil
        void (*dense_product)(float *, size_t, const flm_strided *, const flm_strided *, size_t, size_t, size_t, int,
                              float *) noexcept nogil
        void (*lstm_forward)(float *, float *, float *, float *, float *, const float *, const float *,
                             const int64_t *, const uint8_t *, const size_t *, size_t, size_t, size_t,
                             size_t) noexcept nogil
        void (*lstm_backward)(float *, float *, float *, const float *, const float *, const float *, const uint8_t *,
                              const size_t *, size_t, size_t, size_t) noexcept nogil
        void (*lstm_step)(float *, float *, float *, const float *, const flm_matrix *, const flm_matrix *,
                          const float *, const float *, const float *, size_t, size_t) noexcept nogil
        void (*layer_norm)(float *, float *, const float *, const float *, const float *, size_t,
                           size_t) noexcept nogil
        void (*layer_norm_back)(float *, float *, float *, double *, const float *, const float *, const float *,
                                const float *, size_t, size_t) noexcept nogil
        void (*gelu)(float *, float *, const float *, const float *, size_t, size_t) noexcept nogil
        void (*multiply_sum)(float *, float *, const float *, size_t, size_t) noexcept nogil
        void (*residual)(float *, const float *, const float *, size_t, size_t) noexcept nogil
        void (*attention_spans)(int64_t *, int64_t *, const int64_t *, const uint8_t *, const size_t *, size_t,
                                size_t, size_t) noexcept nogil
        size_t (*attention_scratch)(const flm_attention *) noexcept nogil
        void (*attention_forward)(float *, float *, float *, const flm_attention *) noexcept nogil
        size_t (*attention_step_scratch)(size_t) noexcept nogil
        void (*attention_step)(float *, float *, const float *, const float *, const float *, const float *,
                               const int64_t *, size_t, size_t, size_t, size_t, size_t) noexcept nogil
        void (*attention_backward)(float *, float *, const float *, const float *, const float *,
                                   const flm_attention *) noexcept nogil
        void (*attention_carry)(float *, const int64_t *, size_t, const flm_attention *) noexcept nogil
        void (*gru_forward)(float *, float *, float *, float *, const float *, const float *, const float *,
                            const int64_t *, const uint8_t *, const size_t *, size_t, size_t, size_t,
                            size_t) noexcept nogil
        void (*gru_backward)(float *, float *, float *, const float *, const float *, const uint8_t *, const size_t *,
                             size_t, size_t, size_t) noexcept nogil
        void (*gru_step)(float *, float *, float *, const float *, const flm_matrix *, const flm_matrix *,
                         const float *, const float *, const float *, size_t, size_t) noexcept nogil
        void (*rms_norm)(float *, float *, const float *, size_t, size_t) noexcept nogil
        void (*rms_norm_back)(float *, const float *, const float *, const float *, size_t, size_t) noexcept nogil
        void (*sru_forward)(float *, float *, float *, float *, const uint8_t *, const size_t *, size_t,
                            size_t) noexcept nogil
        void (*sru_backward)(float *, float *, const float *, const float *, const float *, const uint8_t *,
                             const size_t *, size_t, size_t) noexcept nogil
        void (*add_product)(float *, const float *, const flm_matrix *, size_t) noexcept nogil
        size_t (*int8_bytes)(size_t, size_t) noexcept nogil
        void (*int8_pack)(int8_t *, const int8_t *, size_t, size_t) noexcept nogil
        void (*int8_rows)(float *, const int8_t *, const float *, const int64_t *, size_t, size_t) noexcept nogil
        void (*sgd)(float *, float *, size_t, const flm_rate *) noexcept nogil
        void (*momentum)(float *, float *, float *, size_t, const flm_rate *) noexcept nogil
        void (*adagrad)(float *, float *, float *, size_t, const flm_rate *) noexcept nogil
        void (*adamw)(float *, float *, float *, float *, size_t, const flm_rate *) noexcept nogil
        double (*sum_squares)(const float *, size_t) noexcept nogil
        double (*add_sum_squares)(float *, const float *, size_t) noexcept nogil

    const flm_kernels *flm_kernels_for(const char *)
    int flm_multiplies_wider(const flm_kernels *)
    int32_t flm_sample(double *, int32_t *, const float *, double, size_t, double, double, size_t)
    void flm_top_k(int32_t *, const float *, size_t, size_t)
    ctypedef struct flm_coder:
        size_t full, read
    void flm_coder_start(flm_coder *)
    size_t flm_encode(flm_coder *, uint8_t *, const float *, size_t, size_t)
    size_t flm_encode_end(flm_coder *, uint8_t *)
    void flm_decode_start(flm_coder *, const uint8_t *, size_t)
    size_t flm_decode(flm_coder *, const uint8_t *, const float *, size_t, size_t)


cdef extern from "words.h" nogil:
    ctypedef struct flm_words:
        uint8_t *blob
        size_t *offset
        uint64_t *slot
        size_t size, capacity, bytes, slots
        int tabs_inside

    enum:
        FLM_WORDS_DONE
        FLM_WORDS_IDS_FULL
        FLM_WORDS_WORDS_FULL
        FLM_WORDS_SLOTS_FULL
        FLM_WORDS_BLOB_FULL

    size_t flm_words_slots(size_t)
    size_t flm_words_index(flm_words *w)
    int flm_words_learn(flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text, size_t *position,
                        size_t n, int32_t newline)
    int flm_words_find(const flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text,
                       size_t *position, size_t n, int32_t newline)
    uint64_t FLM_GAP_NONE
    ctypedef struct flm_gaps:
        size_t at, document
        uint64_t before[6]
        uint8_t previous
    uint64_t flm_gap_code(const uint8_t *, size_t)
    size_t flm_gaps_read(flm_gaps *, uint64_t *, uint64_t *, uint8_t *, size_t *, size_t *, size_t *, const uint8_t *,
                         const size_t *, int, int, size_t, size_t)
    size_t flm_count_words(uint8_t *, const uint8_t *, size_t)
    int flm_words_learn_segments(flm_words *w, int32_t *id, size_t *written, size_t N, const uint8_t *text,
                                 size_t *position, size_t n)

cdef extern from "pieces.h" nogil:
    enum: FLM_SEGMENT
    ctypedef struct flm_pair_counts:
        int32_t *symbol
        int32_t *next
        int32_t *previous
        int32_t *segment
        int32_t *after
        int32_t *before
        uint64_t *key
        int64_t *count
        int32_t *first
        int32_t *last
        int32_t *place
        int32_t *heap
        uint32_t *slot
        size_t slots
        size_t pairs
        size_t used
        int32_t unused
    size_t flm_pieces_learn(int32_t *merge, int32_t *begin, int32_t *length, size_t *pieces, flm_pair_counts *p,
                            uint32_t *piece_slot, size_t piece_slots, const uint8_t *text, const int64_t *offset,
                            const int64_t *times, int64_t least, size_t most, size_t V, size_t segments)
    ctypedef struct flm_pieces:
        const int32_t *merge
        const int32_t *byte
        const uint32_t *slot
        size_t merges
        size_t slots
        int gpt2
    ctypedef struct flm_segment_cached:
        pass
    ctypedef struct flm_long_segment:
        int32_t *piece
        int32_t *next
        int32_t *previous
        uint64_t *heap
        size_t room
        size_t queued
    void flm_pieces_index(uint32_t *slot, const flm_pieces *p)
    size_t flm_pieces_encode(int32_t *id, size_t *written, size_t N, flm_segment_cached *cache, size_t cached,
                             flm_long_segment *scratch, const flm_pieces *p, const uint8_t *text, size_t *position,
                             size_t n)
    void flm_pieces_encode_segments(int32_t *id, int64_t *begin, const flm_pieces *p, const uint8_t *text,
                                    const int64_t *offset, size_t segments)
    int flm_words_add(flm_words *w, int32_t *id, const uint8_t *word, size_t length)


cdef extern from "cache.h" nogil:
    ctypedef struct flm_cache:
        const double *decay
        const double *running
        size_t window, lowest, orders

    enum:
        FLM_CACHE_ORDERS
        FLM_CACHE_SIZES
        FLM_CACHE_SHIFT

    size_t flm_cache_running(double *, const double *, size_t)
    void flm_cache_counts(double *, double *, const flm_cache *, const int32_t *, const uint8_t *, const int32_t *,
                          int32_t *, int32_t *, size_t, size_t)
    void flm_cache_rows(int32_t *, float *, float *, size_t, const flm_cache *, const double *, const int32_t *,
                        const uint8_t *, int32_t *, int32_t *, int32_t *, double *, size_t, size_t)


cdef extern from "ngram.h" nogil:
    ctypedef struct flm_trie:
        const int32_t *word
        const int32_t *link
        const int32_t *child
        const float *logp
        const float *backoff
        size_t nodes, contexts, V, order

    ctypedef struct flm_ngrams:
        const uint8_t *gram
        const uint8_t *context
        const uint64_t *block
        const uint32_t *inner
        const float *unigram
        const float *book
        int32_t lowest
        unsigned word_bits, value_bits, link_bits, backoff_bits, key_bits, gram_bits, context_bits
        size_t nodes, contexts, inner_nodes, V, order

    enum:
        FLM_NGRAM_LENGTH
        FLM_NGRAM_BLOCK
        FLM_NGRAM_PAD
        FLM_NGRAM_STEPS
        FLM_NGRAM_SOUND
        FLM_NGRAM_CHILD
        FLM_NGRAM_WORD
        FLM_NGRAM_LINK
        FLM_NGRAM_SUM
        FLM_NGRAM_BLOCKS
        FLM_NGRAM_INNER
        FLM_NGRAM_KEY

    void flm_ngram_spans(uint8_t *, const int32_t *, const uint8_t *, int32_t, size_t, size_t)
    void flm_ngram_group(int32_t *, size_t *, const int32_t *, size_t, size_t)
    void flm_ngram_cuts(size_t *, const size_t *, size_t, size_t)
    size_t flm_ngram_largest_group(const size_t *, size_t, size_t)
    double flm_ngram_counting_bytes(const size_t *, size_t, size_t)
    void flm_ngram_count_words(int32_t *, const int32_t *, const uint8_t *, size_t)
    void flm_ngram_sort(int32_t *, int32_t *, uint8_t *, uint8_t *, uint64_t *, int32_t *, const int32_t *,
                        const uint8_t *, const size_t *, size_t, size_t, size_t, size_t, size_t)
    void flm_ngram_sizes(size_t *, const uint8_t *, const uint8_t *, size_t, size_t, size_t)
    void flm_ngram_number(int32_t *, int32_t *, int32_t *, int32_t *, int32_t *, const int32_t *, size_t,
                          const int32_t *, const int32_t *, const int32_t *, const uint8_t *, const uint8_t *,
                          const uint8_t *, const size_t *, size_t, size_t, size_t, size_t)
    void flm_ngram_keep_repeated(uint8_t *, const uint8_t *, const size_t *, size_t, size_t, size_t)
    void flm_ngram_count_counts(int64_t *, const int32_t *, size_t)
    void flm_ngram_unigrams(float *, double *, const int32_t *, const double *, size_t)
    void flm_ngram_estimate(float *, float *, double *, const double *, const int32_t *, const int32_t *,
                            const int32_t *, const int32_t *, const double *, size_t, size_t, size_t, size_t)
    void flm_ngram_quantise(uint16_t *, float *, const flm_trie *, const float *, const double *, const int32_t *, size_t,
                            size_t, size_t)
    size_t flm_ngram_rank(uint32_t *, const int32_t *, size_t, size_t)
    void flm_ngram_contexts(int32_t *, int32_t *, float *, const flm_trie *, const uint32_t *, size_t)
    size_t flm_ngram_blocks(uint64_t *, const int32_t *, size_t, size_t, unsigned)
    void flm_ngram_pack_contexts(uint8_t *, const uint64_t *, const int32_t *, const int32_t *, const uint32_t *,
                                 const uint32_t *, unsigned, unsigned, unsigned, size_t)
    void flm_ngram_pack_grams(uint8_t *, const int32_t *, const uint16_t *, const float *, unsigned, unsigned, size_t)
    void flm_ngram_unpack(int32_t *, int32_t *, int32_t *, float *, float *, const flm_ngrams *, size_t)
    void flm_ngram_losses(float *, const flm_trie *, const int32_t *, const double *, size_t, size_t)
    void flm_ngram_most(float *, const float *, const int32_t *, size_t)
    void flm_trie_raise(float *, const int32_t *, size_t, size_t)
    void flm_ngram_rebalance(float *, const flm_trie *, const int32_t *, size_t, size_t)
    int flm_trie_check(const flm_trie *, int, size_t *)
    int flm_ngram_check(const flm_ngrams *, int, size_t *, size_t)
    size_t flm_ngram_levels(size_t *, const flm_ngrams *)
    size_t flm_ngram_shorter(const flm_ngrams *, const size_t *, size_t)
    void flm_ngram_describe(int32_t *, int32_t *, float *, const flm_ngrams *, const size_t *, const int32_t *, size_t)
    void flm_ngram_score(double *, int32_t *, const flm_ngrams *, const int32_t *, size_t)
    void flm_ngram_read(int32_t *, int32_t *, const flm_ngrams *, const int32_t *, const uint8_t *, const size_t *,
                        size_t)
    void flm_ngram_nats(double *, const flm_ngrams *, const int32_t *, const int32_t *, size_t)
    void flm_ngram_matched(int32_t *, const flm_ngrams *, const size_t *, const int32_t *, const int32_t *, size_t)
    void flm_ngram_log_probabilities(float *, const flm_ngrams *, const int32_t *, size_t)
    void flm_ngram_of_words(float *, float *, const flm_ngrams *, const int32_t *, const int32_t *, const int32_t *,
                            const int32_t *, size_t, size_t)

    ctypedef struct flm_ngram_counts:
        const int32_t *count
        const double *discount
        const double *total
        const double *mass

    size_t flm_ngram_left_out(double *, float *, double *, const flm_trie *, const flm_ngram_counts *,
                              const int32_t *, const int32_t *, size_t)

    void flm_ngram_top(int32_t *, float *, uint32_t *, const flm_ngrams *, const int32_t *, const int32_t *, size_t,
                       size_t)

    ctypedef struct flm_factors:
        const int32_t *factor
        const int32_t *letter
        size_t levels, reach
        unsigned keys

    ctypedef struct flm_factor_index:
        const size_t *end
        const unsigned *bucket_bits
        const int32_t *bucket

    enum:
        FLM_SPELT
        FLM_FACTOR_KEY
        FLM_FACTOR_BUCKET_BITS

    void flm_factor_keys(uint64_t *, int32_t *, int64_t *, const flm_factors *, const int32_t *, const uint8_t *,
                         size_t, size_t)
    void flm_factor_sort(int32_t *, uint64_t *, int32_t *, uint64_t *, size_t *, const uint64_t *, const int32_t *,
                         const int32_t *, size_t, size_t)
    size_t flm_factor_number(int32_t *, int32_t *, int32_t *, int32_t *, int32_t *, int64_t *, int32_t *, int32_t *,
                             size_t *, const int32_t *, const int32_t *, const uint64_t *, const int32_t *,
                             const int32_t *, size_t)
    unsigned flm_factor_bucket_bits(size_t)
    void flm_factor_buckets(int32_t *, uint32_t *, const int64_t *, size_t, unsigned, size_t)
    void flm_factor_read(int32_t *, int32_t *, int64_t *, const flm_factors *, const flm_ngrams *,
                         const flm_factor_index *, const int32_t *, const uint8_t *, const size_t *, size_t)
    int flm_factor_check(const flm_ngrams *, const flm_factor_index *, size_t *, size_t)
    int flm_factor_levels(size_t *, const flm_trie *, size_t *)
    void flm_factor_unpack_keys(int64_t *, const flm_ngrams *, const flm_factor_index *)
    void flm_factor_unpack(int32_t *, float *, int32_t *, int32_t *, float *, const flm_ngrams *)


cdef extern from "runs.h" nogil:
    ctypedef struct flm_run_place:
        size_t rank, same

    ctypedef struct flm_run:
        const uint8_t *at
        const uint8_t *end
        int whole, done

    ctypedef struct flm_merge:
        flm_run *run
        size_t *tree
        size_t k
        size_t *size
        size_t *once
        size_t *after_once

    ctypedef struct flm_kept:
        size_t order, whole
        int once

    ctypedef struct flm_growing:
        int32_t *word
        int32_t *link
        int32_t *child
        int32_t *count
        int32_t *pruned
        size_t *next
        size_t first_word

    enum:
        FLM_RUN_RECORD

    size_t flm_run_write(uint8_t *, size_t, flm_run_place *, const int32_t *, const int32_t *, const uint8_t *,
                         const uint8_t *, size_t, size_t)
    size_t flm_merge_runs(uint8_t *, size_t, size_t *, flm_merge *)
    void flm_grow(flm_growing *, flm_run *, const flm_kept *)
    void flm_grow_to(flm_growing *, size_t)
    void flm_link_counted(flm_growing *, size_t, size_t, size_t)
    void flm_count_left_out(flm_growing *, flm_run *, const flm_kept *)


cdef extern from "arpa.h" nogil:
    ctypedef struct flm_arpa_trie:
        const int32_t *word
        const int32_t *link
        const int32_t *child
        const float *logp
        const float *backoff
        size_t contexts

    ctypedef struct flm_arpa_block:
        const uint8_t *text
        size_t n, at, line, field, length

    ctypedef struct flm_arpa_tally:
        size_t lines, positive

    enum:
        FLM_ARPA_WORDS
        FLM_ARPA_HEADING
        FLM_ARPA_NUMBER
        FLM_ARPA_FIELDS
        FLM_ARPA_UNSEEN
        FLM_ARPA_TWICE
        FLM_ARPA_NUL

    int flm_arpa_words(flm_words *, float *, float *, size_t, size_t *, float *, flm_arpa_tally *, flm_arpa_block *)
    int flm_arpa_grams(int32_t *, float *, float *, int32_t *, uint8_t *, size_t, size_t *, flm_arpa_tally *,
                       flm_arpa_block *, const flm_words *, int32_t, int32_t, size_t)
    void flm_arpa_find(int32_t *, const flm_arpa_trie *, const int32_t *, size_t, size_t, size_t)
    size_t flm_arpa_arrange(int32_t *, int32_t *, const int32_t *, const int32_t *, size_t, size_t, size_t)
    size_t flm_arpa_links(int32_t *, const flm_arpa_trie *, size_t, size_t)
    size_t flm_arpa_write(uint8_t *, size_t, size_t *, size_t, const flm_arpa_trie *, const uint8_t *, const size_t *,
                          int32_t, int32_t, size_t)

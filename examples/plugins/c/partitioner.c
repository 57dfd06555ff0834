// The partitioner of `examples/plugins`, in C: a key goes to `xxh3_64(key) mod partitions`. `README.md` of the folder above
// says what all languages do.

#include "partitioner.h"

#include <stdlib.h>

#include "options.h"
#include "xxh3.h"

static uint32_t partitions = 1;

bool exports_weir_plugin_partitioner_hooks_configure(exports_weir_plugin_partitioner_hooks_context_t *context,
                                                     partitioner_list_string_t *wants, partitioner_string_t *problem) {
  partitions = context->partitions;
  *wants = (partitioner_list_string_t){0};
  if (context->options.len == 0) return true;
  partitioner_string_t name = context->options.ptr[0].f0;
  problem->len = refuse_option(name.ptr, name.len, "this plugin takes none", &problem->ptr);
  return false;
}

// Without a key: the producer's guess, else batch by batch round the partitions.
static uint32_t of_unkeyed(const exports_weir_plugin_partitioner_hooks_produced_batch_t *batch) {
  if (batch->guess.is_some && batch->guess.val < partitions) return batch->guess.val;
  uint64_t turn = (batch->producer_id.is_some ? batch->producer_id.val : 0) + batch->ordinal;
  return turn % partitions;
}

bool exports_weir_plugin_partitioner_hooks_partition(exports_weir_plugin_partitioner_hooks_produced_batch_t *batch,
                                                     partitioner_list_option_list_u8_t *keys,
                                                     partitioner_list_u32_t *placed, partitioner_string_t *problem) {
  (void)problem;
  placed->len = keys->len;
  placed->ptr = malloc(keys->len * sizeof *placed->ptr);
  if (!placed->ptr) __builtin_trap();
  for (size_t i = 0; i < keys->len; i++) {
    partitioner_option_list_u8_t *key = &keys->ptr[i];
    placed->ptr[i] = key->is_some ? xxh3(key->val.ptr, key->val.len) % partitions : of_unkeyed(batch);
  }
  partitioner_list_option_list_u8_free(keys);
  return true;
}

void exports_weir_plugin_partitioner_hooks_close(void) {}

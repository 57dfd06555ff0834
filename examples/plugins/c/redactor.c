// The redactor of `examples/plugins`, in C: option `remove` names members of JSON objects that go, option `mask` those that are
// masked. `README.md` of the folder above says what all languages do.

#include "producer_interceptor.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

typedef exports_weir_plugin_producer_hooks_action_t action_t;
typedef producer_interceptor_string_t text_t;

static const char MASKED[] = "\"***\"";
#define MASKED_BYTES (sizeof MASKED - 1)
// How many times its length a value may have afterwards: `"":7,` of 5 bytes becomes `"":"***",` of 9.
#define GROWS_MAX 2

// What became of a value.
typedef enum { UNCHANGED, CHANGED, NOT_JSON, ESCAPED_NAME } outcome_t;

// What the options say: names between commas.
static text_t to_remove, to_mask;

static bool equal(const uint8_t *one, size_t one_len, const void *other, size_t other_len) {
  return one_len == other_len && memcmp(one, other, one_len) == 0;
}

static bool is(const uint8_t *one, size_t len, const char *word) { return equal(one, len, word, strlen(word)); }

// Whether a name is one of those between the commas, which may have blanks around them; with no name, whether there is one.
static bool is_one_of(text_t names, const uint8_t *name, size_t len) {
  const uint8_t *at = names.ptr, *behind = names.ptr + names.len;
  while (at < behind) {
    const uint8_t *next = at;
    while (next < behind && *next != ',') next++;
    const uint8_t *last = next;
    while (at < last && *at == ' ') at++;
    while (at < last && last[-1] == ' ') last--;
    if (last > at && (!name || equal(at, last - at, name, len))) return true;
    at = next + 1;
  }
  return false;
}

// A walk over a value.
typedef struct {
  const uint8_t *at, *end;
} scan_t;

// The byte that the walk is at; 0, which nothing begins with, behind the last.
static uint8_t peek(const scan_t *scan) { return scan->at < scan->end ? *scan->at : 0; }

static void blanks(scan_t *scan) {
  while (peek(scan) == ' ' || peek(scan) == '\t' || peek(scan) == '\r' || peek(scan) == '\n') scan->at++;
}

// Passes over blanks and this byte, if it is there.
static bool take(scan_t *scan, uint8_t byte) {
  blanks(scan);
  if (peek(scan) != byte) return false;
  scan->at++;
  return true;
}

static bool string(scan_t *scan) {
  if (!take(scan, '"')) return false;
  for (; peek(scan) != '"'; scan->at++) {
    if (peek(scan) < 0x20) return false;
    if (*scan->at == '\\' && ++scan->at == scan->end) return false;
  }
  scan->at++;
  return true;
}

// `true`, `false`, `null`, or what begins as a number does.
static bool word(scan_t *scan) {
  const uint8_t *from = scan->at;
  for (uint8_t byte = peek(scan);
       (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || byte == '+' || byte == '-' || byte == '.';
       byte = peek(scan))
    scan->at++;
  size_t len = scan->at - from;
  if (is(from, len, "true") || is(from, len, "false") || is(from, len, "null")) return true;
  return len > 0 && (*from == '-' || (*from >= '0' && *from <= '9'));
}

// Passes over a string, a word or number, or everything from an opening bracket to the one that closes it.
static bool anything(scan_t *scan) {
  size_t depth = 0;
  do {
    if (scan->at == scan->end) return false;
    switch (*scan->at) {
    case '"':
      if (!string(scan)) return false;
      break;
    case '{':
    case '[':
      depth++;
      scan->at++;
      break;
    case '}':
    case ']':
      if (depth == 0) return false;
      depth--;
      scan->at++;
      break;
    default:
      if (depth > 0) scan->at++;
      else if (!word(scan)) return false;
    }
  } while (depth > 0);
  return true;
}

// Writes the members that are kept to `out`, which has room for them.
static outcome_t members(scan_t *scan, uint8_t *out, size_t *len) {
  size_t at = 0;
  bool changed = false;
  out[at++] = '{';
  bool more = !take(scan, '}');
  while (more) {
    blanks(scan);
    const uint8_t *from = scan->at, *name = from + 1;
    if (!string(scan)) return NOT_JSON;
    size_t name_len = scan->at - 1 - name;
    if (memchr(name, '\\', name_len)) return ESCAPED_NAME;
    if (!take(scan, ':')) return NOT_JSON;
    blanks(scan);
    const uint8_t *value = scan->at;
    if (!anything(scan)) return NOT_JSON;
    bool is_removed = is_one_of(to_remove, name, name_len);
    bool is_masked = !is_removed && is_one_of(to_mask, name, name_len);
    changed = changed || is_removed || is_masked;
    if (!is_removed) {
      if (at > 1) out[at++] = ',';
      at = append(out, at, from, (is_masked ? value : scan->at) - from);
      if (is_masked) at = append(out, at, MASKED, MASKED_BYTES);
    }
    more = take(scan, ',');
    if (!more && !take(scan, '}')) return NOT_JSON;
  }
  out[at++] = '}';
  *len = at;
  return changed ? CHANGED : UNCHANGED;
}

static outcome_t redact(const uint8_t *value, size_t value_len, uint8_t *out, size_t *len) {
  scan_t scan = {value, value + value_len};
  outcome_t outcome = UNCHANGED;
  if (take(&scan, '{')) outcome = members(&scan, out, len);
  else if (!anything(&scan)) outcome = NOT_JSON;
  if (outcome >= NOT_JSON) return outcome;
  blanks(&scan);
  return scan.at < scan.end ? NOT_JSON : outcome;
}

bool exports_weir_plugin_producer_hooks_configure(exports_weir_plugin_producer_hooks_context_t *context,
                                                  producer_interceptor_list_string_t *wants, text_t *problem) {
  *wants = (producer_interceptor_list_string_t){0};
  for (size_t i = 0; i < context->options.len; i++) {
    text_t name = context->options.ptr[i].f0, value = context->options.ptr[i].f1;
    if (is(name.ptr, name.len, "remove")) to_remove = value;
    else if (is(name.ptr, name.len, "mask")) to_mask = value;
    else {
      problem->len = refuse_option(name.ptr, name.len, "there are remove, mask", &problem->ptr);
      return false;
    }
  }
  // The options are not freed: they are looked at as long as the instance lives.
  if (is_one_of(to_remove, NULL, 0) || is_one_of(to_mask, NULL, 0)) return true;
  producer_interceptor_string_dup(problem, "there is nothing to redact: give names in option remove or mask");
  return false;
}

// What happens to a record, if something does; `bytes` are the action's then.
static bool act(const uint8_t *value, size_t len, action_t *action) {
  uint8_t *bytes = malloc(GROWS_MAX * len + 2);
  if (!bytes) __builtin_trap();
  size_t bytes_len = 0;
  outcome_t outcome = redact(value, len, bytes, &bytes_len);
  if (outcome == CHANGED) {
    action->tag = EXPORTS_WEIR_PLUGIN_PRODUCER_HOOKS_ACTION_SET_VALUE;
    action->val.set_value.is_some = true;
    action->val.set_value.val.ptr = bytes;
    action->val.set_value.val.len = bytes_len;
    return true;
  }
  free(bytes);
  if (outcome == UNCHANGED) return false;
  action->tag = EXPORTS_WEIR_PLUGIN_PRODUCER_HOOKS_ACTION_REJECT;
  action->val.reject.code = outcome == NOT_JSON ? 1 : 2;
  producer_interceptor_string_dup(&action->val.reject.reason, outcome == NOT_JSON ? "not JSON" : "a name with an escape");
  return true;
}

bool exports_weir_plugin_producer_hooks_on_send(exports_weir_plugin_producer_hooks_produced_batch_t *batch,
                                                exports_weir_plugin_producer_hooks_list_record_t *records,
                                                exports_weir_plugin_producer_hooks_answer_t *answer, text_t *problem) {
  (void)batch, (void)problem;
  *answer = (exports_weir_plugin_producer_hooks_answer_t){0};
  answer->changes.ptr = malloc((records->len + 1) * sizeof *answer->changes.ptr);
  if (!answer->changes.ptr) __builtin_trap();
  for (size_t i = 0; i < records->len; i++) {
    producer_interceptor_option_list_u8_t *value = &records->ptr[i].value;
    exports_weir_plugin_producer_hooks_change_t *change = &answer->changes.ptr[answer->changes.len];
    if (!value->is_some || !act(value->val.ptr, value->val.len, &change->action)) continue;
    change->index = i;
    answer->changes.len++;
  }
  exports_weir_plugin_producer_hooks_list_record_free(records);
  return true;
}

void exports_weir_plugin_producer_hooks_on_acknowledgement(exports_weir_plugin_producer_hooks_produced_batch_t *batch,
                                                           exports_weir_plugin_producer_hooks_list_outcome_t *outcomes,
                                                           exports_weir_plugin_producer_hooks_list_outcome_run_t *runs) {
  (void)batch;
  exports_weir_plugin_producer_hooks_list_outcome_free(outcomes);
  exports_weir_plugin_producer_hooks_list_outcome_run_free(runs);
}

void exports_weir_plugin_producer_hooks_close(void) {}

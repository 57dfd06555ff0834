// What both plugins say about an option that they do not know.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t append(uint8_t *to, size_t at, const void *from, size_t len) {
  memcpy(to + at, from, len);
  return at + len;
}

static size_t refuse_option(const uint8_t *name, size_t len, const char *instead, uint8_t **text) {
  static const char start[] = "there is no option ";
  *text = malloc(sizeof start + len + 2 + strlen(instead));
  if (!*text) __builtin_trap();
  size_t at = append(*text, 0, start, sizeof start - 1);
  at = append(*text, at, name, len);
  at = append(*text, at, ": ", 2);
  return append(*text, at, instead, strlen(instead));
}

// The redactor of `examples/plugins`, in JavaScript: option `remove` names members of JSON objects that go, option `mask` those
// that are masked. `README.md` of the folder above says what all languages do.

const text = new TextEncoder();
const MASK = text.encode('"***"');
const [QUOTE, COMMA, COLON, ESCAPE] = [...text.encode('",:\\')];
const [OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = [...text.encode("{}[]")];
const BLANKS = new Set(text.encode(" \t\r\n"));
const OF_WORD = new Set(text.encode("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-."));
const WORD = /^(true|false|null|[0-9-].*)$/;

let names = { remove: [], mask: [] };

export const producerHooks = {
  configure(context) {
    names = { remove: [], mask: [] };
    for (const [option, value] of context.options) {
      if (!(option in names)) throw `there is no option ${option}: there are remove, mask`;
      names[option] = value.split(",").map((name) => name.trim()).filter(Boolean).map((name) => text.encode(name));
    }
    if (names.remove.length + names.mask.length === 0) {
      throw "there is nothing to redact: give names in option remove or mask";
    }
    return [];
  },

  onSend(batch, records) {
    const changes = [];
    records.forEach(({ value }, index) => {
      if (value == null) return;
      const action = redact(value);
      if (action) changes.push({ index, action });
    });
    return { changes, appendHeaders: [] };
  },

  onAcknowledgement() {},

  close() {},
};

// A value that cannot be redacted.
class Refused {
  constructor(code, reason) {
    this.action = { tag: "reject", val: { code, reason } };
  }
}

function redact(value) {
  try {
    const redacted = withoutSecrets(value);
    return redacted && { tag: "set-value", val: redacted };
  } catch (refused) {
    if (refused instanceof Refused) return refused.action;
    throw refused;
  }
}

// The value without what must not be stored; undefined if there is nothing of it.
function withoutSecrets(value) {
  const scan = new Scan(value);
  let redacted;
  if (scan.take(OPEN)) redacted = members(scan);
  else scan.anything();
  scan.blanks();
  if (scan.at < value.length) throw notJson();
  return redacted;
}

function members(scan) {
  const kept = [];
  let changed = false;
  let more = !scan.take(CLOSE);
  while (more) {
    scan.blanks();
    const from = scan.at;
    const name = scan.string();
    if (name.includes(ESCAPE)) throw new Refused(2, "a name with an escape");
    scan.need(COLON);
    scan.blanks();
    const valueFrom = scan.at;
    scan.anything();
    const isRemoved = isIn(names.remove, name);
    const isMasked = !isRemoved && isIn(names.mask, name);
    changed ||= isRemoved || isMasked;
    if (isMasked) kept.push([scan.value.subarray(from, valueFrom), MASK]);
    else if (!isRemoved) kept.push([scan.value.subarray(from, scan.at)]);
    more = scan.take(COMMA);
    if (!more) scan.need(CLOSE);
  }
  return changed ? object(kept) : undefined;
}

function notJson() {
  return new Refused(1, "not JSON");
}

function isIn(known, name) {
  return known.some((other) => other.length === name.length && other.every((byte, at) => byte === name[at]));
}

// The members between commas and braces.
function object(members) {
  const parts = members.flatMap((member, at) => (at > 0 ? [[COMMA], ...member] : member));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 2));
  bytes[0] = OPEN;
  let at = 1;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes[at] = CLOSE;
  return bytes;
}

// A walk over a value.
class Scan {
  at = 0;

  constructor(value) {
    this.value = value;
  }

  peek() {
    return this.value[this.at];
  }

  blanks() {
    while (BLANKS.has(this.peek())) this.at++;
  }

  // Passes over blanks and this byte, if it is there.
  take(byte) {
    this.blanks();
    const isThere = this.peek() === byte;
    if (isThere) this.at++;
    return isThere;
  }

  need(byte) {
    if (!this.take(byte)) throw notJson();
  }

  // Passes over a string, and returns what is between its quotes.
  string() {
    this.need(QUOTE);
    const from = this.at;
    while (this.peek() !== QUOTE) {
      if (!(this.peek() >= 0x20)) throw notJson();
      this.at += this.peek() === ESCAPE ? 2 : 1;
    }
    return this.value.subarray(from, this.at++);
  }

  // Passes over a string, a word or number, or everything from an opening bracket to the one that closes it.
  anything() {
    let depth = 0;
    do {
      const byte = this.peek();
      if (byte === QUOTE) this.string();
      else if (byte === OPEN || byte === OPEN_LIST) {
        depth++;
        this.at++;
      } else if ((byte === CLOSE || byte === CLOSE_LIST) && depth > 0) {
        depth--;
        this.at++;
      } else if (depth > 0 && byte !== undefined) this.at++;
      else this.word();
    } while (depth > 0);
  }

  // `true`, `false`, `null`, or what begins as a number does.
  word() {
    const from = this.at;
    while (OF_WORD.has(this.peek())) this.at++;
    if (!WORD.test(String.fromCharCode(...this.value.subarray(from, this.at)))) throw notJson();
  }
}

// Part of a Stillframe site.
// Lists while they arrive. Computes only.

const STUDY_UID = '"0020000D"';
const PARSED_BYTES = 1 << 17; // what comes first is parsed, and with it the whole of a short list
const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];
const [NEWLINE, COMMA] = [0x0a, 0x2c];

/**
 * Reads a list of records: each as an object, or as the line of JSON that holds it and nothing else.
 *
 * Archives write a record a line. Of a long list lines are only parted, which takes a tenth of the time of parsing; a
 * list in another form is parsed to its end. `push` and `end` are those of ArrayReader, and throw SyntaxError alike.
 */
export class RecordReader {
  #array = new ArrayReader();
  #parsed = 0; // bytes
  #rest = null; // of lines, behind the last complete one; null as long as all is parsed

  push(bytes) {
    if (this.#rest) return this.#part(join(this.#rest, bytes));
    const items = this.#array.push(bytes);
    this.#parsed += bytes.length;
    const { rest } = this.#array;
    if (this.#parsed < PARSED_BYTES || rest[0] !== COMMA || rest[1] !== NEWLINE || rest[2] !== OPEN_OBJECT) return items;
    return [...items, ...this.#part(rest.subarray(2))];
  }

  end() {
    if (!this.#rest) return this.#array.end();
    const text = decode(this.#rest).trimEnd();
    if (!text.endsWith('}]')) throw new SyntaxError('the list ends too early, or goes on behind its end');
    const last = text.slice(0, -1);
    return [isRecord(last) ? last : JSON.parse(last)];
  }

  /** The records of the lines that are complete; from one on that is no record by itself, all is parsed. */
  #part(bytes) {
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    const lines = decode(bytes.subarray(0, end)).split(',\n');
    const isWhole = lines.pop() === '' || end === 0;
    if (isWhole && lines.every(isRecord)) {
      this.#rest = bytes.slice(end);
      return lines;
    }
    this.#rest = null;
    this.#parsed = -Infinity;
    this.#array = ArrayReader.behindItem();
    return this.#array.push(join(Uint8Array.of(COMMA), bytes));
  }
}

/**
 * Reads a JSON array while it arrives, so that a list of many megabytes is never parsed in one go.
 *
 * `push` takes bytes (UTF-8) and returns the items that are complete, `end` the last ones. Both throw SyntaxError for what
 * is no JSON array.
 */
export class ArrayReader {
  #rest = new Uint8Array(0); // from the end of the last complete item on
  #scanned = 0; // bytes of the rest that were looked at
  #depth = 0;
  #inString = false;
  #escaped = false;
  #first = true;

  /** A reader of what follows behind an item of an array: a comma and the next one, or its end. */
  static behindItem() {
    const reader = new ArrayReader();
    [reader.#first, reader.#depth] = [false, 1];
    return reader;
  }

  /** The bytes that came behind the last complete item. */
  get rest() {
    return this.#rest;
  }

  push(bytes) {
    if (this.#rest.length) {
      const joined = new Uint8Array(this.#rest.length + bytes.length);
      joined.set(this.#rest);
      joined.set(bytes, this.#rest.length);
      bytes = joined;
    }
    const end = this.#scan(bytes);
    const items = end ? this.#parse(bytes.subarray(0, end), this.#depth > 0) : [];
    this.#rest = bytes.slice(end);
    this.#scanned = this.#rest.length;
    return items;
  }

  end() {
    if (this.#first || this.#depth || this.#rest.some((byte) => byte > 0x20)) {
      throw new SyntaxError('the list ends too early, or goes on behind its end');
    }
    return [];
  }

  /** Where the last complete item of the array ends, or the array itself; 0 if nothing new is complete. */
  #scan(bytes) {
    let [depth, inString, escaped, end] = [this.#depth, this.#inString, this.#escaped, 0];
    for (let index = this.#scanned; index < bytes.length; index += 1) {
      const byte = bytes[index];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth += 1;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        depth -= 1;
        if (depth <= 1) end = index + 1;
        if (depth <= 0) break;
      }
    }
    [this.#depth, this.#inString, this.#escaped] = [depth, inString, escaped];
    return end;
  }

  /** The items in a piece of the array's text; the piece ends behind an item, or (not `open`) behind the array. */
  #parse(bytes, open) {
    let text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
    if (this.#first) {
      if (!text.startsWith('[')) throw new SyntaxError('not a list');
      this.#first = false;
    } else if (/^,\s*[^\s\]]/.test(text)) text = `[${text.slice(1)}`;
    else if (text === ']') return [];
    else throw new SyntaxError('no comma between the items of the list');
    return JSON.parse(open ? `${text}]` : text);
  }
}

/** Whether a line holds one record of a study, as far as can be seen without parsing. */
function isRecord(line) {
  const index = line.indexOf(STUDY_UID);
  return index > 0 && line.indexOf(STUDY_UID, index + 1) < 0 && line.startsWith('{"') && line.endsWith('}}');
}

const decode = (bytes) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

function join(first, second) {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

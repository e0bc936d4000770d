// Scores of one table: read when first needed, one row at a time.

const HALVES = { table: null };

/** All 65,536 half floats, since not every browser has Float16Array. */
function halves() {
  if (HALVES.table) return HALVES.table;
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const part = bits & 1023;
    if (exponent === 31) table[bits] = part ? NaN : sign * Infinity;
    else if (exponent === 0) table[bits] = sign * part * 2 ** -24;
    else table[bits] = sign * (1 + part / 1024) * 2 ** (exponent - 15);
  }
  HALVES.table = table;
  return table;
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** The numbers of a packed table, before its scale. */
function unpack(values) {
  const bytes = bytesOf(values.data);
  if (values.type === "f4") return new Float32Array(bytes.buffer, 0, bytes.length >> 2);
  const table = halves();
  const bits = new Uint16Array(bytes.buffer, 0, bytes.length >> 1);
  return Float32Array.from(bits, (one) => table[one]);
}

const largestOf = (values) => {
  let most = 0;
  for (const value of values) {
    const size = Math.abs(value);
    if (size > most) most = size;
  }
  return most;
};

/** A table of the page with its rows. */
class Scores {
  constructor(table, page) {
    Object.assign(this, table);
    this.page = page;
    this.columns = table.spans.length;
    this.rowCount = table.values.shape[0];
    this.inner = table.dims.reduce((product, dim) => product * dim.entries.length, 1);
    this.at = table.dims.map(() => 0);
    this.relative = page.low !== null || page.high !== null ? "given" : "row";
    this.kept = new Map();
    this.largest = new Map();
  }

  /** Where the chosen entries of the further axes are; `entry` takes the place of the one beside. */
  inside(entry) {
    return this.dims.reduce((place, dim, index) => {
      const here = entry !== undefined && index === this.beside ? entry : this.at[index];
      return place * dim.entries.length + here;
    }, 0);
  }

  /** Values, sum and largest of one row. */
  row(index, entry) {
    const inside = this.inside(entry);
    const key = index * this.inner + inside;
    const known = this.kept.get(key);
    if (known) return known;
    this.raw ??= unpack(this.values);
    const values = new Float32Array(this.columns);
    const start = index * this.columns * this.inner + inside;
    let sum = 0;
    for (let column = 0; column < this.columns; column++) {
      const value = this.raw[start + column * this.inner] * this.values.scale;
      values[column] = value;
      if (value === value) sum += Math.abs(value);
    }
    // Of magnitudes the whole output has mean shares, whatever the measure.
    const isShare = this.measure === "share" || (index === 0 && !this.signed);
    const row = { values, sum, largest: largestOf(values), isShare };
    this.kept.set(key, row);
    return row;
  }

  /** Columns of a row, the strongest first. */
  order(row) {
    row.order ??= Array.from(row.values.keys())
      .filter((column) => row.values[column] === row.values[column])
      .sort((a, b) => Math.abs(row.values[b]) - Math.abs(row.values[a]) || a - b);
    return row.order;
  }

  rank(row, column) {
    return this.order(row).indexOf(column) + 1;
  }

  /** The largest value of all generated tokens, in the chosen entries. */
  peak() {
    const isBeside = this.beside >= 0;
    const key = this.inside(isBeside ? 0 : undefined);
    if (!this.largest.has(key)) {
      const entries = isBeside ? [...this.dims[this.beside].entries.keys()] : [undefined];
      let most = 0;
      for (let index = 1; index < this.rowCount; index++) {
        for (const entry of entries) most = Math.max(most, this.row(index, entry).largest);
      }
      this.largest.set(key, most);
    }
    return this.largest.get(key);
  }

  /** -5 to 5: how strong a value of a row is shown. */
  level(value, row) {
    if (!(value === value) || value === 0) return 0;
    let most = row.largest;
    if (this.relative === "all") most = this.peak();
    if (this.relative === "given") {
      const { low, high } = this.page;
      most = Math.abs(value > 0 ? (high ?? low) : (low ?? high)) || row.largest;
    }
    const share = Math.abs(value) / (most || 1);
    let step = 0;
    for (const threshold of this.page.thresholds) step += share >= threshold - 1e-6;
    return value < 0 ? -step : step;
  }
}

/** Three digits, in powers of ten where these would show nothing. */
function written(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 0.001 || size >= 1000 ? value.toExponential(2) : value.toPrecision(3);
  return text.replaceAll("-", "−");
}

function share(value, row) {
  const part = row.sum ? (100 * Math.abs(value)) / row.sum : 0;
  return `${value < 0 ? "−" : ""}${part < 10 ? part.toFixed(1) : Math.round(part)} %`;
}

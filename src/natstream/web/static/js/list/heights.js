// The height of each row in the list, and the sums that say where a row stands. Pure.
//
// Rows are numbered as in the ring. The sums of blocks of rows make every question cheap, without a
// tree: at most capacity/256 + 512 additions, which take some 5 µs for 100,000 rows.

const BLOCK = 256;
// Not `>> 8`, because 32 bits overflow after five days at 5,000 lines a second.
/** @param {number} seq */
const blockOf = (seq) => Math.floor(seq / BLOCK);

export class Heights {
  /** @param {number} capacity the most rows at a time */
  constructor(capacity) {
    this.capacity = capacity;
    this.rows = new Float32Array(capacity);
    // Two more than the full blocks, since the first and the last block may be partial.
    this.blockCount = Math.ceil(capacity / BLOCK) + 2;
    this.blocks = new Float64Array(this.blockCount);
    this.first = 0;
    this.end = 0;
    this.total = 0;
  }

  /** Start again at row `seq`. @param {number} seq */
  reset(seq) {
    this.blocks.fill(0);
    this.first = this.end = seq;
    this.total = 0;
  }

  /** @param {number} height of the next row */
  push(height) {
    if (this.end - this.first === this.capacity) this.shift();
    this.rows[this.end % this.capacity] = height;
    this.#add(this.end, this.rows[this.end % this.capacity]);
    this.end += 1;
  }

  /** Forget the first row. @returns {number} its height */
  shift() {
    const height = this.rows[this.first % this.capacity];
    this.#add(this.first, -height);
    this.first += 1;
    return height;
  }

  /** @param {number} seq */
  get(seq) {
    return this.rows[seq % this.capacity];
  }

  /** @param {number} seq @param {number} height */
  set(seq, height) {
    const slot = seq % this.capacity;
    const before = this.rows[slot];
    this.rows[slot] = height;
    this.#add(seq, this.rows[slot] - before);
  }

  /** Return the distance from the top of the first row to the top of row `seq`.
   * @param {number} seq */
  offset(seq) {
    const block = blockOf(seq);
    const firstBlock = blockOf(this.first);
    let sum = 0;
    for (let b = firstBlock; b < block; b++) sum += this.blocks[b % this.blockCount];
    for (let s = Math.max(this.first, block * BLOCK); s < seq; s++) sum += this.get(s);
    return sum;
  }

  /** Return the row that covers `distance` from the top of the first row, or the nearest row.
   * @param {number} distance */
  find(distance) {
    if (this.first === this.end) return this.first;
    let sum = 0;
    let seq = this.first;
    for (let b = blockOf(seq); ; b++) {
      const next = sum + this.blocks[b % this.blockCount];
      const nextSeq = (b + 1) * BLOCK;
      if (distance < next || nextSeq >= this.end) break;
      sum = next;
      seq = nextSeq;
    }
    while (seq < this.end - 1 && sum + this.get(seq) <= distance) sum += this.get(seq++);
    return seq;
  }

  /** @param {number} seq @param {number} height */
  #add(seq, height) {
    this.blocks[blockOf(seq) % this.blockCount] += height;
    this.total += height;
  }
}

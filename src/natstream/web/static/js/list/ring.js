// The newest lines, a bounded number of them. Pure.
//
// Each line has a number, `seq`, that grows by one and is never used again; `first` is the
// oldest that is held, `end` the one that comes next. A full ring forgets its oldest line.

/** @template T */
export class Ring {
  /** @param {number} capacity */
  constructor(capacity) {
    this.capacity = capacity;
    this.first = 0;
    this.end = 0;
    /** @type {(T | undefined)[]} */
    this.slots = new Array(capacity).fill(undefined);
  }

  get length() {
    return this.end - this.first;
  }

  get full() {
    return this.length === this.capacity;
  }

  /** @param {number} seq @returns {T | undefined} */
  at(seq) {
    return seq >= this.first && seq < this.end ? this.slots[seq % this.capacity] : undefined;
  }

  /** @param {T} item @returns {number} its seq */
  push(item) {
    if (this.full) this.shift();
    this.slots[this.end % this.capacity] = item;
    return this.end++;
  }

  /** Forget the oldest. @returns {T | undefined} it */
  shift() {
    const slot = this.first % this.capacity;
    const item = this.slots[slot];
    this.slots[slot] = undefined;
    this.first += 1;
    return item;
  }

  clear() {
    this.slots.fill(undefined);
    this.first = this.end;
  }
}

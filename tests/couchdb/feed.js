'use strict';

// What every streaming answer has in common: head, heartbeats, time-out, the client that goes away.

const open = new Set();
const MOST = 60000; // CouchDB ends a feed that asks for neither heartbeat nor time-out after this

const milliseconds = (text) => (/^\d+$/.test(text ?? '') ? Number(text) : undefined);

class Feed {
  constructor(res, query) {
    this.res = res;
    this.kind = query.get('feed') ?? 'normal';
    const beat = query.get('heartbeat');
    this.heartbeat = beat === 'true' ? MOST : milliseconds(beat);
    this.timeout = Math.min(milliseconds(query.get('timeout')) ?? MOST, MOST);
    this.ended = false;
    this.rows = 0;
    this.wake = null;
    if (this.waits) open.add(this);
    res.on('close', () => this.#over());
  }

  get waits() {
    return this.kind === 'continuous' || this.kind === 'longpoll';
  }

  #over() {
    this.ended = true;
    open.delete(this);
    this.wake?.('closed');
  }

  /** The head goes out with the first bytes, as CouchDB does it. */
  write(text) {
    if (this.ended) return;
    if (!this.res.headersSent) {
      this.res.writeHead(200, {'Content-Type': 'application/json', 'Cache-Control': 'must-revalidate'});
      this.res.socket.setNoDelay(true);
      if (this.kind !== 'continuous') text = '{"results":[\n' + text;
    }
    this.res.write(text);
  }

  row(value) {
    const text = JSON.stringify(value);
    if (this.kind === 'continuous') this.write(text + '\n');
    else this.write((this.rows ? ',\n' : '') + text);
    this.rows += 1;
  }

  finish(fields) {
    const text = JSON.stringify(fields);
    this.write(this.kind === 'continuous' ? text + '\n' : '\n],\n' + text.slice(1) + '\n');
    this.#over();
    this.res.end();
  }

  /** Break off without the final chunk. */
  cut() {
    this.#over();
    this.res.destroy();
  }

  /** Wait until the reader has taken what was written. */
  async drained() {
    if (this.ended || !this.res.writableNeedDrain) return;
    await new Promise((resolve) => {
      this.wake = resolve;
      this.res.once('drain', resolve);
    });
    this.wake = null;
  }

  /** Wait for `subscribe(wake)` to wake us, beating; answers what woke us, "timeout" or "closed". */
  async wait(subscribe) {
    if (this.ended) return 'closed';
    const beating = this.heartbeat !== undefined;
    let timer;
    let unsubscribe;
    const why = await new Promise((resolve) => {
      this.wake = resolve;
      timer = beating
        ? setInterval(() => this.write('\n'), Math.max(this.heartbeat, 1))
        : setTimeout(() => resolve('timeout'), this.timeout);
      unsubscribe = subscribe(resolve);
    });
    this.wake = null;
    beating ? clearInterval(timer) : clearTimeout(timer);
    unsubscribe?.();
    return why;
  }
}

module.exports = {Feed, openFeeds: () => open.size};

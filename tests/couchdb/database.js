'use strict';

// One database: a PouchDB that is opened when it is first needed, and those who wait for its changes.

const {EventEmitter, once} = require('node:events');
const {Refusal} = require('./answers');

class Database extends EventEmitter {
  /** Events: "moved" (there is a new change), "gone" (deleted), "cut" (restored: streams break off). */
  constructor(storage, meta) {
    super();
    this.setMaxListeners(0);
    this.storage = storage;
    this.meta = meta;
    this.name = meta.name;
    this.opened = Date.now() * 1000 + Math.floor(Math.random() * 1000);
    this.gone = false;
    this.moves = 0;
    this.pouch = null;
    this.opening = null;
    this.users = 0;
    this.busy = Promise.resolve();
  }

  #opened() {
    this.opening ??= this.#open();
    return this.opening;
  }

  /** Work with the open PouchDB. It is not closed meanwhile: what runs inside it then would never answer. */
  async use(work) {
    for (let seen; seen !== this.busy; await seen) seen = this.busy;
    if (this.gone) throw new Refusal(404, 'not_found', 'Database does not exist.');
    this.users += 1;
    try {
      return await work(await this.#opened());
    } finally {
      this.users -= 1;
      if (!this.users) this.emit('unused');
    }
  }

  /** Work with the files of the closed PouchDB; who wants to use it meanwhile waits. */
  async alone(work) {
    const before = this.busy;
    let free;
    const mine = new Promise((resolve) => (free = resolve));
    this.busy = before.then(() => mine);
    await before;
    if (this.users) await once(this, 'unused');
    try {
      await this.#close();
      return await work();
    } finally {
      free();
    }
  }

  async #open() {
    const pouch = this.storage.open(this.meta.location);
    this.seq = (await pouch.info()).update_seq;
    this.deleted = new Set();
    this.countedTo = 0;
    const write = pouch._bulkDocs;
    pouch._bulkDocs = (request, options, done) => write.call(pouch, request, options, (...result) => {
      this.#written(pouch);
      done(...result);
    });
    this.pouch = pouch;
    return pouch;
  }

  /** `_local` documents and refused ones pass here too: only a new sequence is a change. */
  #written(pouch) {
    pouch._info((error, info) => {
      if (error || pouch !== this.pouch || info.update_seq === this.seq) return;
      this.seq = info.update_seq;
      this.moves += 1;
      this.emit('moved');
    });
  }

  /** Changes after a sequence, oldest first (or newest first). PouchDB takes limit 0 for 1. */
  async read(since, {limit, docs = false, descending = false, style = 'main_only'} = {}) {
    if (limit === 0) return [];
    const options = {since, include_docs: docs, descending, style, return_docs: true};
    if (limit !== undefined) options.limit = limit;
    return this.use(async (pouch) => (await pouch.changes(options)).results);
  }

  info() {
    return this.use(async (pouch) => {
      const {doc_count, update_seq} = await pouch.info();
      if (this.countedTo !== update_seq) {
        const {results} = await pouch.changes({since: this.countedTo, return_docs: true});
        for (const row of results) this.deleted[row.deleted ? 'add' : 'delete'](row.id);
        this.countedTo = Math.max(update_seq, this.countedTo);
      }
      return {docs: doc_count, deleted: this.deleted.size, seq: update_seq};
    });
  }

  async #close() {
    if (!this.opening) return;
    const pouch = await this.opening;
    this.opening = this.pouch = null;
    await pouch.close();
  }

  async destroy() {
    this.gone = true;
    this.emit('gone');
    const {location, snapshot} = this.meta;
    await this.alone(async () => {
      await this.storage.remove(location);
      if (snapshot) await this.storage.remove(snapshot.location);
    });
  }
}

module.exports = {Database};

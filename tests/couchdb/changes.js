'use strict';

// GET or POST /{db}/_changes

const {Refusal, readJson} = require('./answers');
const {Feed} = require('./feed');
const {readSince, writeSeq} = require('./seqs');

const PAGE = 200;

/** Which rows a filter lets through. */
function filterOf(query, body) {
  const name = query.get('filter');
  if (!name) return null;
  if (name === '_design') return (row) => row.id.startsWith('_design/');
  if (name === '_doc_ids') {
    const ids = new Set(body.doc_ids ?? JSON.parse(query.get('doc_ids') ?? '[]'));
    return (row) => ids.has(row.id);
  }
  throw new Refusal(501, 'not_implemented', `This server has no filter ${name}.`);
}

function shown(mode, tag, row) {
  const line = {seq: writeSeq(mode, tag, row.seq), id: row.id, changes: row.changes};
  if (row.deleted) line.deleted = true;
  if (row.doc) {
    const {_id, _rev, ...fields} = row.doc; // CouchDB has these two first
    line.doc = {_id, _rev, ...fields};
  }
  return line;
}

class Changes {
  constructor(database, mode, feed, {since, query, filter}) {
    Object.assign(this, {database, mode, feed, filter});
    this.position = since;
    this.left = query.has('limit') ? Number(query.get('limit')) : Infinity;
    this.docs = query.get('include_docs') === 'true';
    this.style = query.get('style') ?? 'main_only';
    this.descending = query.get('descending') === 'true';
  }

  async run() {
    if (this.descending) return this.backwards();
    const stop = () => this.feed.cut();
    this.database.once('cut', stop);
    try {
      await this.forwards();
    } catch (problem) {
      if (!this.database.gone) throw problem;
      this.finish(0); // it was deleted while we read
    } finally {
      this.database.off('cut', stop);
    }
    return undefined;
  }

  async forwards() {
    for (;;) {
      const {moves} = this.database;
      const full = await this.page();
      if (this.feed.ended) return;
      if (this.left <= 0) return this.finish(await this.remaining());
      if (full) continue;
      const done = !this.feed.waits || (this.feed.kind === 'longpoll' && this.feed.rows > 0);
      if (done || this.database.gone) return this.finish(0);
      if (!this.feed.res.headersSent) this.feed.write('\n'); // "waiting", as CouchDB says it
      const why = moves === this.database.moves ? await this.moved() : 'moved';
      if (why === 'timeout' || why === 'gone') return this.finish(0);
    }
  }

  /** Send a page of rows; answers whether there may be more. */
  async page() {
    const limit = this.filter ? PAGE : Math.min(PAGE, this.left);
    const rows = await this.database.read(this.position, {limit, docs: this.docs, style: this.style});
    for (const row of rows) {
      if (this.left <= 0) return false;
      this.position = row.seq;
      if (this.filter && !this.filter(row)) continue;
      this.feed.row(shown(this.mode, this.database.meta.tag, row));
      this.left -= 1;
    }
    await this.feed.drained();
    return rows.length === limit;
  }

  async backwards() {
    const limit = Number.isFinite(this.left) ? this.left : undefined;
    const rows = await this.database.read(0, {limit, docs: this.docs, style: this.style, descending: true});
    for (const row of rows) {
      this.position = row.seq;
      if (!this.filter || this.filter(row)) this.feed.row(shown(this.mode, this.database.meta.tag, row));
    }
    this.finish(0);
  }

  moved() {
    return this.feed.wait((wake) => {
      const [moved, gone] = [() => wake('moved'), () => wake('gone')];
      this.database.on('moved', moved).on('gone', gone);
      return () => this.database.off('moved', moved).off('gone', gone);
    });
  }

  async remaining() {
    return (await this.database.read(this.position)).length;
  }

  finish(pending) {
    if (this.feed.ended) return;
    const last = {last_seq: writeSeq(this.mode, this.database.meta.tag, this.position)};
    const old = this.mode === 'couch1' || this.mode === 'bigcouch';
    this.feed.finish(old ? last : {...last, pending});
  }
}

async function answerChanges(server, req, res, target) {
  const database = server.registry.get(target.first);
  const {query} = target;
  const body = req.method === 'POST' ? await readJson(req) : {};
  const latest = await database.use(() => database.seq);
  const text = query.get('since') ?? query.get('last-event-id') ?? req.headers['last-event-id'];
  const since = readSince(server.mode, database.meta.tag, text, latest);
  const filter = filterOf(query, body);
  const feed = new Feed(res, query);
  await new Changes(database, server.mode, feed, {since, query, filter}).run();
}

module.exports = {answerChanges};

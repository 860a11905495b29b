'use strict';

// GET /_db_updates: late, coalesced, in any order, and lost when the server stops, as on CouchDB 3.

const {EventEmitter} = require('node:events');
const {Refusal} = require('./answers');
const {Feed} = require('./feed');
const {token, writeSeq, readSince} = require('./seqs');

/** Random numbers that come again with the same seed (mulberry32). */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(events, random) {
  for (let last = events.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [events[last], events[other]] = [events[other], events[last]];
  }
  return events;
}

class Updates extends EventEmitter {
  /** Events: "flushed" (rows), "gone". */
  constructor() {
    super();
    this.setMaxListeners(0);
    this.settings = {delay_ms: 300, drop: 0, reorder: true, coalesce: true};
    this.random = seeded(1);
    this.timer = null;
    this.clear();
  }

  /** A new history, in which sequences handed out before are unknown. */
  clear() {
    this.tag = token();
    this.number = 0;
    this.rows = new Map(); // the latest row of each (type, database), oldest first
    this.pending = [];
  }

  configure({seed, ...settings}) {
    Object.assign(this.settings, settings);
    if (seed !== undefined) this.random = seeded(seed);
  }

  tell(type, name) {
    if (name === '_global_changes') return;
    this.pending.push({type, name});
    this.timer ??= setTimeout(() => this.flush(), this.settings.delay_ms);
  }

  flush() {
    this.timer = null;
    const {coalesce, reorder, drop} = this.settings;
    const key = ({type, name}) => `${type}:${name}`;
    let events = coalesce ? [...new Map(this.pending.map((event) => [key(event), event])).values()] : this.pending;
    this.pending = [];
    if (reorder) events = shuffled(events, this.random);
    if (drop > 0) events = events.filter(() => this.random() >= drop);
    const rows = events.map((event) => {
      const row = {...event, number: ++this.number};
      this.rows.delete(key(event));
      this.rows.set(key(event), row);
      return row;
    });
    if (rows.length) this.emit('flushed', rows);
  }

  /** The number before the dash says nothing on the real one: here it is random. */
  seq(number) {
    return `${1 + Math.floor(Math.random() * 90)}-${writeSeq('bigcouch', this.tag, number)[1]}`;
  }

  since(text) {
    if (text === '' || text === '"now"') throw new Refusal(400, 'bad_request', 'malformed since');
    return readSince('couch3', this.tag, text, this.number);
  }

  send(feed, row) {
    feed.row({db_name: row.name, type: row.type, seq: this.seq(row.number)});
  }
}

/** Send what comes, from the moment of the call: nothing is lost between two waits. */
async function follow(updates, feed) {
  const waiting = [];
  let gone = false;
  let wake = () => {};
  const flushed = (rows) => (waiting.push(...rows), wake('rows'));
  const ended = () => ((gone = true), wake('gone'));
  updates.on('flushed', flushed).on('gone', ended);
  try {
    for (;;) {
      const why = waiting.length || gone ? 'rows' : await feed.wait((call) => void (wake = call));
      for (const row of waiting.splice(0)) updates.send(feed, row);
      await feed.drained();
      if (feed.ended || gone || why === 'timeout' || feed.kind === 'longpoll') return;
    }
  } finally {
    updates.off('flushed', flushed).off('gone', ended);
  }
}

async function answerUpdates(server, res, target) {
  const {updates} = server;
  server.registry.get('_global_changes');
  const since = updates.since(target.query.get('since') ?? undefined);
  const feed = new Feed(res, target.query);
  for (const row of updates.rows.values()) if (row.number > since) updates.send(feed, row);
  if (feed.kind === 'continuous' || (feed.kind === 'longpoll' && !feed.rows)) await follow(updates, feed);
  if (!feed.ended) feed.finish({last_seq: updates.seq(updates.number)});
}

module.exports = {Updates, answerUpdates};

'use strict';

// Update sequences, in the shape of each kind of server.
// An opaque one names the incarnation it belongs to, so that one of a recreated database is told apart.

const crypto = require('node:crypto');
const {Refusal} = require('./answers');

const HEAD = 'g1AAAA';

const token = (bytes = 6) => crypto.randomBytes(bytes).toString('hex');
const noise = () => Math.random().toString(36).slice(2, 12).padEnd(10, '0');

const seal = (tag, number, tail) => HEAD + Buffer.from(`${tag}.${number}.${tail}`).toString('base64url');

/** {tag, number}, or null when it is none of ours. */
function unseal(text) {
  const body = /^(?:\d+-)?g1AAAA([\w-]+)$/.exec(text);
  const parts = body && /^(\w+)\.(\d+)\.\w+$/.exec(Buffer.from(body[1], 'base64url').toString());
  return parts && {tag: parts[1], number: Number(parts[2])};
}

/** A sequence as `_changes` says it: its tail differs in each reading, unless a tail is given. */
function writeSeq(mode, tag, number, tail = noise()) {
  if (mode === 'couch1') return number;
  if (mode === 'bigcouch') return [number, seal(tag, number, tail)];
  return `${number}-${seal(tag, number, tail)}`;
}

/** `update_seq` of a database's info: another string than `last_seq`, the same in each reading. */
const writeInfoSeq = (mode, tag, number) => writeSeq(mode, tag, number, 'info');

function malformed() {
  return new Refusal(400, 'bad_request', "Malformed sequence supplied in 'since' parameter.");
}

function fromJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The number that a `since` stands for. 0 when it is of another incarnation; `latest` for "now". */
function readSince(mode, tag, text, latest) {
  if (text === null || text === undefined) return 0;
  const value = fromJson(text);
  if (value === 'now') return latest;
  if (value === 0 || value === '0') return 0;
  if (mode === 'couch1') {
    if (!/^\d+$/.test(String(value))) throw malformed();
    return Number(value);
  }
  const sealed = Array.isArray(value) ? value[1] : value;
  const found = typeof sealed === 'string' ? unseal(sealed) : null;
  if (!found) throw malformed();
  return found.tag === tag ? found.number : 0;
}

module.exports = {token, writeSeq, writeInfoSeq, readSince};

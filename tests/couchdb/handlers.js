'use strict';

// What each path of the server answers.

const {Refusal, sendJson, readJson, jsonParameter} = require('./answers');
const {answerChanges} = require('./changes');
const {answerSession} = require('./auth');
const {answerUpdates} = require('./updates');
const {isSystem} = require('./names');
const {writeInfoSeq} = require('./seqs');

const VERSIONS = {couch3: '3.5.0', couch21: '2.1.2', couch1: '1.7.2', bigcouch: '1.1.1'};
const MODES = Object.keys(VERSIONS);
const has = {
  features: ['couch3'],
  ranges: ['couch3', 'couch21'],
  dbUpdates: ['couch3', 'couch21'],
  dbsInfo: ['couch3'],
  up: ['couch3', 'couch21', 'bigcouch'],
  closedList: ['couch3'], // the list of databases is for admins
};

const notThere = () => new Refusal(404, 'not_found', 'no_db_file');

function needAdmin(asker) {
  if (!asker.admin) throw new Refusal(401, 'unauthorized', 'You are not a server admin.');
}

function root(server, res) {
  const body = {couchdb: 'Welcome', version: VERSIONS[server.mode], uuid: server.uuid};
  if (has.features.includes(server.mode)) {
    body.git_sha = '11f0d3643';
    body.features = ['access-ready', 'partitioned', 'pluggable-storage-engines', 'reshard', 'scheduler'];
  }
  if (server.mode === 'bigcouch') body.bigcouch = '0.4.2';
  body.vendor = {name: 'The Apache Software Foundation'};
  sendJson(res, 200, body);
}

function allDbs(server, res, {query}, asker) {
  if (has.closedList.includes(server.mode)) needAdmin(asker);
  let names = server.registry.names();
  if (has.ranges.includes(server.mode)) {
    const start = jsonParameter(query, 'startkey', 'start_key') ?? '';
    const end = jsonParameter(query, 'endkey', 'end_key') ?? '\u{10ffff}';
    const skip = Number(query.get('skip') ?? 0);
    names = names.filter((name) => name >= start && name <= end);
    names = names.slice(skip, query.has('limit') ? skip + Number(query.get('limit')) : undefined);
    if (query.get('descending') === 'true') names.reverse();
  }
  sendJson(res, 200, names);
}

async function infoOf(server, database) {
  const {docs, deleted, seq} = await database.info();
  const born = {couch3: String(database.meta.created), couch1: String(database.opened)};
  return {
    instance_start_time: born[server.mode] ?? '0',
    db_name: database.name,
    update_seq: writeInfoSeq(server.mode, database.meta.tag, seq),
    doc_count: docs,
    doc_del_count: deleted,
    disk_format_version: 8,
    compact_running: false,
  };
}

async function dbsInfo(server, req, res, asker) {
  if (!has.dbsInfo.includes(server.mode)) throw notThere();
  needAdmin(asker);
  const {keys} = await readJson(req);
  if (!Array.isArray(keys)) throw new Refusal(400, 'bad_request', '`keys` member must exist.');
  if (keys.length > 100) {
    throw new Refusal(400, 'bad_request', '`keys` member must not exceed 100 (max_db_number_for_dbs_info_req)');
  }
  const rows = keys.map(async (key) => {
    try {
      return {key, info: await infoOf(server, server.registry.get(key))};
    } catch (problem) {
      // Deleted while we read is the same as never there.
      if (server.registry.has(key)) throw problem;
      return {key, error: 'not_found'};
    }
  });
  sendJson(res, 200, await Promise.all(rows));
}

function create(server, res, name) {
  server.registry.create(name);
  if (name === '_global_changes') server.updates.clear();
  sendJson(res, 201, {ok: true});
}

function remove(server, res, name) {
  server.registry.remove(name);
  if (name === '_global_changes') server.updates.emit('gone');
  sendJson(res, 200, {ok: true});
}

async function security(database, server, req, res, asker) {
  const {meta} = database;
  if (req.method !== 'PUT') {
    const closed = {members: {roles: ['_admin']}, admins: {roles: ['_admin']}};
    return sendJson(res, 200, meta.security ?? (server.mode === 'couch3' ? closed : {}));
  }
  needAdmin(asker);
  meta.security = await readJson(req);
  server.registry.storage.writeMeta(meta);
  return sendJson(res, 200, {ok: true});
}

async function inDatabase(server, req, res, target, asker) {
  const name = target.first;
  const {method} = req;
  if (!target.rest && (method === 'PUT' || method === 'DELETE')) {
    needAdmin(asker);
    return method === 'PUT' ? create(server, res, name) : remove(server, res, name);
  }
  const database = server.registry.get(name);
  if (!target.rest && method !== 'POST') return sendJson(res, 200, await infoOf(server, database));
  if (target.rest === '_changes') return answerChanges(server, req, res, target);
  if (target.rest === '_security') return security(database, server, req, res, asker);
  return server.documents.answer(database, req, res, target);
}

const paths = {
  '': (server, req, res) => root(server, res),
  _up: (server, req, res) => {
    if (!has.up.includes(server.mode)) throw notThere();
    sendJson(res, 200, {status: 'ok', seeds: {}});
  },
  _session: (server, req, res, target, asker) => answerSession(server.auth, req, res, asker.name),
  _all_dbs: (server, req, res, target, asker) => allDbs(server, res, target, asker),
  _dbs_info: (server, req, res, target, asker) => dbsInfo(server, req, res, asker),
  _db_updates: (server, req, res, target, asker) => {
    if (!has.dbUpdates.includes(server.mode)) throw notThere();
    needAdmin(asker);
    return answerUpdates(server, res, target);
  },
};

function answer(server, req, res, target, asker) {
  const {first} = target;
  if (Object.hasOwn(paths, first)) return paths[first](server, req, res, target, asker);
  if (first.startsWith('_') && !isSystem(first)) throw notThere();
  return inDatabase(server, req, res, target, asker);
}

const PUBLIC = ['', '_up', '_session'];

module.exports = {MODES, PUBLIC, answer, needAdmin};

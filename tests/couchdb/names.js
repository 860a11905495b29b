'use strict';

// Names of databases, and what a request's path means.

const SYSTEM = ['_users', '_replicator', '_global_changes'];
const LEGAL = /^[a-z][a-z0-9_$()+/-]*$/;

const isSystem = (name) => SYSTEM.includes(name);
const isLegal = (name) => LEGAL.test(name) || isSystem(name);

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `/account%2Fab/doc/x?y` is first "account/ab", rest "doc/x"; the rest stays encoded. */
function parseTarget(url) {
  const cut = url.indexOf('?');
  const path = (cut < 0 ? url : url.slice(0, cut)).replace(/^\/+/, '');
  const search = cut < 0 ? '' : url.slice(cut);
  const slash = path.indexOf('/');
  return {
    first: decoded(slash < 0 ? path : path.slice(0, slash)),
    rest: slash < 0 ? '' : path.slice(slash + 1),
    search,
    query: new URLSearchParams(search),
    text: decoded(url),
  };
}

const KINDS = {
  '': 'root', _all_dbs: 'all_dbs', _dbs_info: 'dbs_info', _db_updates: 'db_updates', _session: 'session',
};

/** The kind under which a request is counted. */
function kindOf(method, target) {
  if (target.first in KINDS) return KINDS[target.first];
  if (target.first.startsWith('_') && !isSystem(target.first)) return 'other';
  const [part] = target.rest.split('/');
  if (!part) return method === 'GET' || method === 'HEAD' ? 'db_info' : method === 'POST' ? 'doc_write' : 'other';
  if (part === '_changes') return target.query.get('feed') === 'continuous' ? 'changes_continuous' : 'changes';
  if (part === '_all_docs') return 'all_docs';
  if (part === '_bulk_docs') return 'doc_write';
  if (part === '_bulk_get') return 'doc_read';
  if (part.startsWith('_') && part !== '_local' && part !== '_design') return 'other';
  return method === 'GET' || method === 'HEAD' ? 'doc_read' : 'doc_write';
}

module.exports = {SYSTEM, isSystem, isLegal, parseTarget, kindOf};

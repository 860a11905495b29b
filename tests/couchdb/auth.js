'use strict';

// Who asks: basic authentication, or the cookie of /_session.

const crypto = require('node:crypto');
const {Refusal, readBody, sendJson} = require('./answers');

const READER = 'reader'; // no server admin; same password

class Auth {
  constructor({user, password, secret}) {
    Object.assign(this, {user, password, secret, cookieLife: 600});
    this.open = !user; // without a user everybody is admin
  }

  check(name, password) {
    return (name === this.user || name === READER) && password === this.password;
  }

  cookie(name) {
    const body = Buffer.from(`${name}:${Date.now()}`).toString('base64url');
    return `AuthSession=${body}.${this.sign(body)}; Version=1; Path=/; HttpOnly; Max-Age=${this.cookieLife}`;
  }

  sign(body) {
    return crypto.createHmac('sha256', this.secret).update(body).digest('base64url');
  }

  /** {name, left}: left is the share of its life that a cookie still has. */
  fromCookie(text) {
    const [, body, signature] = /(?:^|;\s*)AuthSession="?([\w-]+)\.([\w-]+)"?/.exec(text ?? '') ?? [];
    if (!body || this.sign(body) !== signature) return null;
    const [name, since] = Buffer.from(body, 'base64url').toString().split(':');
    const left = 1 - (Date.now() - Number(since)) / (this.cookieLife * 1000);
    return left > 0 ? {name, left} : null;
  }

  /** The name, or null. A wrong password is refused even where none is needed. */
  identify(req, res) {
    if (this.open) return 'admin';
    const basic = /^Basic\s+(\S+)$/i.exec(req.headers.authorization ?? '');
    if (basic) {
      const [name, ...rest] = Buffer.from(basic[1], 'base64').toString().split(':');
      if (this.check(name, rest.join(':'))) return name;
      throw new Refusal(401, 'unauthorized', 'Name or password is incorrect.');
    }
    const session = this.fromCookie(req.headers.cookie);
    if (!session) return null;
    if (session.left < 0.9) res.setHeader('Set-Cookie', this.cookie(session.name));
    return session.name;
  }

  isAdmin(name) {
    return this.open || name === this.user;
  }

  roles(name) {
    return this.isAdmin(name) ? ['_admin'] : [];
  }
}

function credentials(type, text) {
  if (/json/.test(type ?? '')) return JSON.parse(text || '{}');
  return Object.fromEntries(new URLSearchParams(text));
}

async function answerSession(auth, req, res, who) {
  if (req.method === 'DELETE') {
    const gone = 'AuthSession=; Version=1; Path=/; HttpOnly; Max-Age=0';
    return sendJson(res, 200, {ok: true}, {'Set-Cookie': gone});
  }
  if (req.method !== 'POST') {
    const userCtx = {name: who, roles: who ? auth.roles(who) : []};
    return sendJson(res, 200, {ok: true, userCtx, info: {authentication_handlers: ['cookie', 'default']}});
  }
  const {name, username, password} = credentials(req.headers['content-type'], await readBody(req));
  const given = name ?? username;
  if (!auth.check(given, password)) throw new Refusal(401, 'unauthorized', 'Name or password is incorrect.');
  return sendJson(res, 200, {ok: true, name: given, roles: auth.roles(given)}, {'Set-Cookie': auth.cookie(given)});
}

module.exports = {Auth, answerSession};

'use strict';

// JSON answers and request bodies. JSON always, whatever the Accept header says.

class Refusal extends Error {
  constructor(status, error, reason) {
    super(reason);
    Object.assign(this, {status, error, reason});
  }
}

function sendJson(res, status, body, headers = {}) {
  const text = JSON.stringify(body) + '\n';
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'must-revalidate',
    ...headers,
  });
  res.end(res.req.method === 'HEAD' ? undefined : text);
}

function sendError(res, problem) {
  const known = problem instanceof Refusal;
  if (res.headersSent) return res.destroy();
  if (!known) console.error(problem);
  return sendJson(res, known ? problem.status : 500, {
    error: known ? problem.error : 'internal_server_error',
    reason: String(known ? problem.reason : problem),
  });
}

async function readBody(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function readJson(req) {
  const text = await readBody(req);
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    throw new Refusal(400, 'bad_request', 'invalid UTF-8 JSON');
  }
}

/** A query parameter that is JSON, as startkey is. */
function jsonParameter(query, ...names) {
  const name = names.find((each) => query.has(each));
  if (!name) return undefined;
  try {
    return JSON.parse(query.get(name));
  } catch {
    throw new Refusal(400, 'bad_request', 'invalid UTF-8 JSON');
  }
}

module.exports = {Refusal, sendJson, sendError, readBody, readJson, jsonParameter};

'use strict';

// Answers that are wrong on purpose.

const {sendJson} = require('./answers');

const ERRORS = {401: 'unauthorized', 403: 'forbidden', 404: 'not_found', 500: 'internal_server_error', 503: 'service_unavailable'};
const HALF = '{"seq":"7-g1AAAACbeJzLYWBg","id":"half of a li';

class Failures {
  constructor() {
    this.list = [];
  }

  set(failure) {
    if (failure === null) this.list = [];
    else this.list.push({times: Infinity, ...failure, pattern: new RegExp(failure.match ?? '')});
  }

  /** Answer wrongly when it is this request's turn; tells whether it did. */
  meet(res, target) {
    const failure = this.list.find((each) => each.times > 0 && each.pattern.test(target.text));
    if (!failure) return false;
    failure.times -= 1;
    if (failure.garbage === 'hang') return true;
    if (failure.garbage === 'half_line') halfLine(res, target);
    else if (failure.garbage) res.writeHead(200, {'Content-Type': 'application/json'}).end('\u0000<no json}\n');
    else refuse(res, failure);
    return true;
  }
}

/** A stream that stops in the middle of a line, without its final chunk. */
function halfLine(res, target) {
  res.writeHead(200, {'Content-Type': 'application/json'});
  const head = target.query.get('feed') === 'continuous' ? '' : '{"results":[\n';
  res.write(head + HALF, () => res.socket.end());
}

/** What a proxy answers to a missing page is HTML: 404 is, unless `html` is false. */
function refuse(res, {status, html = status === 404}) {
  if (html) {
    const page = `<html><body><h1>${status}</h1></body></html>\n`;
    res.writeHead(status, {'Content-Type': 'text/html', 'Content-Length': page.length}).end(page);
  } else {
    sendJson(res, status, {error: ERRORS[status] ?? 'error', reason: 'This answer was asked for.'});
  }
}

module.exports = {Failures};

// A real SMTP server for tests: `node smtp-server.mjs '<options>'`. `SmtpOptions` in src/smtp_server.rs describes the
// options.
//
// Prints one JSON object per line: `{"port":N}` once it listens, `{"connection":N}` when the Nth connection begins, and
// `{"mail":{…}}` for each mail, before its client gets the reply. The server ends when its standard input closes, so it
// never outlives its test.

import { buffer } from 'node:stream/consumers';

import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';

const options = JSON.parse(process.argv[2] ?? '{}');
const requiresAuth = options.user != null;
const recipientRefusals = (options.refuse ?? []).map(refusal);
const dataRefusals = (options.refuseData ?? []).map(refusal);
let hangsLeft = options.hangTimes ?? Infinity;
let dropsLeft = options.dropAfterData ?? 0;
let connectionsBegun = 0;
const connectionOfSession = new WeakMap();

class Connection extends SMTPConnection {
  // RFC 3207 has 530 for commands that come before STARTTLS. The library answers AUTH with 538.
  handler_AUTH(command, callback) {
    if (!needsStartTls(this.session)) return super.handler_AUTH(command, callback);
    const { responseCode, message } = startTlsFirst();
    this.send(responseCode, message);
    callback();
  }
}

class Server extends SMTPServer {
  connect(socket, socketOptions) {
    connectionsBegun += 1;
    print({ connection: connectionsBegun });
    if (hangs('connect')) {
      // The socket is still read, so that it closes when its client leaves.
      socket.on('error', () => {}).resume();
      return;
    }
    const connection = new Connection(this, socket, socketOptions);
    connectionOfSession.set(connection.session, connection);
    this.connections.add(connection);
    connection.on('error', (error) => this.emit('error', error));
    connection.init();
  }
}

const server = new Server({
  ...options.startTls,
  name: 'localhost',
  logger: false,
  disableReverseLookup: true,
  disabledCommands: [...(options.startTls ? [] : ['STARTTLS']), ...(requiresAuth ? [] : ['AUTH'])],
  // `onMailFrom` requires AUTH. The library's own check would also end a connection after ten commands without it.
  authOptional: true,
  onAuth({ username, password }, _session, reply) {
    if (username === options.user && password === options.password) reply(null, { user: username });
    else reply(refusal('535 5.7.8 Authentication credentials invalid'));
  },
  onMailFrom(_address, session, reply) {
    if (needsStartTls(session)) reply(startTlsFirst());
    else if (requiresAuth && !session.user) reply(refusal('530 5.7.0 Authentication required'));
    else reply();
  },
  onRcptTo(_address, _session, reply) {
    reply(recipientRefusals.shift());
  },
  async onData(stream, session, reply) {
    const bytes = await buffer(stream).catch(() => null);
    const clientHasLeft = bytes === null;
    if (clientHasLeft || hangs('data')) return;
    const dropped = dropsLeft > 0;
    if (dropped) dropsLeft -= 1;
    const refused = dropped ? undefined : dataRefusals.shift();
    if (!refused) print({ mail: { ...envelope(session), ...(await parse(bytes)), dropped } });
    if (dropped) connectionOfSession.get(session)._socket.destroy();
    else reply(refused);
  },
});

// Tests make clients leave early and distrust the certificate. Neither is an error of the server.
server.on('error', (error) => {
  if (!server.server.listening) throw error;
});
server.listen(options.port ?? 0, '127.0.0.1', () => print({ port: server.server.address().port }));
// A pipe emits `close`; a file only emits `end`.
for (const event of ['end', 'close']) process.stdin.on(event, () => process.exit());
process.stdin.resume();

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Whether this connection or mail hangs. If it does, the function counts it. */
function hangs(where) {
  if (options.hang !== where || hangsLeft === 0) return false;
  hangsLeft -= 1;
  return true;
}

function needsStartTls(session) {
  return Boolean(options.startTls) && !session.secure;
}

function startTlsFirst() {
  return refusal('530 5.7.0 Must issue a STARTTLS command first');
}

/** The error that the library sends as a reply such as `451 4.7.1 try later`. */
function refusal(reply) {
  const parts = /^([45]\d\d) (.+)$/.exec(reply);
  if (!parts) throw new Error(`not a reply that refuses: ${reply}`);
  return Object.assign(new Error(parts[2]), { responseCode: Number(parts[1]) });
}

function envelope({ envelope: { rcptTo, mailFrom }, secure, user }) {
  return {
    to: rcptTo.map(({ address }) => address),
    from: mailFrom.address,
    wasEncrypted: secure,
    user: user || null,
  };
}

async function parse(bytes) {
  // By default the parser makes a missing text part from the HTML part, or the reverse, and changes links.
  const mail = await simpleParser(bytes, { skipHtmlToText: true, skipTextToHtml: true, keepCidLinks: true });
  return {
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    html: mail.html || null,
    messageId: mail.messageId ?? '',
    headers: Object.fromEntries(mail.headerLines.map(({ key, line }) => [key, headerText(mail.headers.get(key), line)])),
  };
}

/**
 * The parser's decoded value of a header if that is text (a subject, addresses), otherwise the unfolded value as it was
 * sent.
 */
function headerText(decoded, line) {
  if (typeof decoded === 'string') return decoded;
  if (typeof decoded?.text === 'string') return decoded.text;
  return line.slice(line.indexOf(':') + 1).replace(/\r?\n(?=[ \t])/g, '').trim();
}

/**
 * A Socket.IO client without dependencies: Socket.IO protocol 5 as it travels on the wire, on top of Engine.IO protocol 4 (engineio.js).
 *
 *     import { connect } from './sockeye.js';
 *     const socket = connect('https://example.org', { auth: { token: '...' } });
 *     socket.on('connect', () => console.log(socket.id));
 *     socket.on('news', (item, ack) => ack('thanks'));
 *     const answer = await socket.timeout(5000).emitWithAck('question', { bytes: new Uint8Array([1, 2, 3]) });
 *
 * Both files are written to be read, from top to bottom, this one after the other: here are the packets (events, acknowledgements, attachments) and
 * then the socket (namespace, waiting for answers, reconnection).
 */
import { Emitter, Engine } from './engineio.js';

// ---------------------------------------------------------------------------------------------------------------------------------------
// Socket.IO 5: packets
// ---------------------------------------------------------------------------------------------------------------------------------------

const CONNECT = 0, DISCONNECT = 1, EVENT = 2, ACK = 3, CONNECT_ERROR = 4, BINARY_EVENT = 5, BINARY_ACK = 6;
const RESERVED = new Set(['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener']);

const isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/**
 * `<type>[<attachments>-][/namespace,][ack id][json]`, as in `2["hello",1]`, `213["question"]` (wants ack 13) or `0/admin,{"token":"x"}`.
 *
 * JSON has no bytes. So each ArrayBuffer or typed array, however deep it lies, is replaced by `{"_placeholder":true,"num":0}`, the type becomes one
 * of the binary ones with the number of attachments behind it, and the attachments follow as binary messages: `51-["photo",{"_placeholder":
 * true,"num":0}]`, then the bytes. Returns these messages.
 */
export function encode({ type, namespace, data, id }) {
  const attachments = [];
  const json = data === undefined ? '' : JSON.stringify(data, function replace(key, value) {
    const bytes = this[key]; // as it is there; `value` has been through `toJSON` if there is one
    if (!isBinary(bytes)) return value;
    const buffer = bytes instanceof ArrayBuffer ? bytes : bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    return { _placeholder: true, num: attachments.push(buffer) - 1 };
  });
  const head = attachments.length ? `${type === EVENT ? BINARY_EVENT : BINARY_ACK}${attachments.length}-` : `${type}`;
  return [head + (namespace === '/' ? '' : namespace + ',') + (id ?? '') + json, ...attachments];
}

/** Puts packets together from messages. `add` returns a packet as soon as one is complete, null while attachments are missing, or throws. */
export class Decoder {
  #partial = null; // a binary packet whose attachments are still to come

  add(message) {
    if (typeof message === 'string') {
      if (this.#partial) throw new Error('text instead of an attachment');
      this.#partial = Decoder.#header(message);
    } else {
      if (!this.#partial) throw new Error('an attachment that nobody asked for');
      this.#partial.attachments.push(message);
    }
    if (this.#partial.attachments.length < this.#partial.count) return null;
    const packet = this.#partial;
    this.#partial = null;
    return Decoder.#complete(packet);
  }

  static #header(text) {
    const [, type, count, namespace = '/', id, json] = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?(.*)$/s.exec(text) ?? [];
    const binary = type >= BINARY_EVENT;
    if (type === undefined || binary !== (count !== undefined)) throw new Error('malformed packet');
    return { type: +type, binary, count: +(count ?? 0), namespace, id: id && +id, json, attachments: [] };
  }

  static #complete({ type, binary, namespace, id, json, attachments }) {
    const revive = (_key, value) => {
      if (value?._placeholder !== true) return value;
      const attachment = Number.isInteger(value.num) ? attachments[value.num] : undefined;
      if (!attachment) throw new Error('a placeholder without its attachment');
      return attachment;
    };
    const data = json ? JSON.parse(json, binary ? revive : undefined) : undefined;
    if (binary) type -= BINARY_EVENT - EVENT; // to those above it makes no difference
    if ((type === EVENT || type === ACK) && !Array.isArray(data)) throw new Error('arguments expected');
    if (type === EVENT && (!['string', 'number'].includes(typeof data[0]) || RESERVED.has(data[0]))) throw new Error('event name expected');
    return { type, namespace, id, data };
  }
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Socket.IO 5: the socket
// ---------------------------------------------------------------------------------------------------------------------------------------

const DEFAULTS = {
  path: '/socket.io/',
  transports: ['polling', 'websocket'], // the first one opens the connection; ['websocket'] and ['polling'] work as well
  auth: undefined,                      // an object, or a function that returns one and is asked at every attempt
  reconnection: true,
  reconnectionDelay: 1000,              // before the first attempt; doubled with each one that fails ...
  reconnectionDelayMax: 5000,           // ... up to this,
  randomizationFactor: 0.5,             // give or take half, so that not all clients of a restarted server come back in the same instant
  timeout: 20_000,                      // for one attempt
  autoConnect: true,                    // else `socket.connect()` begins
};

/**
 * Connects to `url`; its path is the namespace, as with the official client.
 *
 * The socket's own events: `connect`; `disconnect` (reason); `connect_error` (error): the attempt failed. `socket.active` says whether another
 * one follows by itself; not so if the server refused (`error.message` and `error.data` are the server's). On `socket.io`: `reconnect_scheduled`
 * ({ attempt, delay }), `reconnect_attempt` (attempt), `reconnect` (attempts), `transport` (name).
 */
export function connect(url = location.origin, options = {}) {
  const socket = new Socket(new URL(url, globalThis.location?.href), { ...DEFAULTS, ...options });
  return options.autoConnect === false ? socket : socket.connect();
}

class Socket extends Emitter {
  id;
  connected = false;
  active = false; // connected, or trying to be
  io = new Emitter();
  #options;
  #url;
  #namespace;
  #engine = null;
  #decoder;
  #timer = null;   // of the attempt, or of the pause before the next one
  #attempts = 0;
  #outgoing = [];  // emitted while there was no connection: { id, messages }
  #early = [];     // events that came before the answer to CONNECT
  #acks = new Map();
  #nextAck = 0;

  constructor(url, options) {
    super();
    this.#options = options;
    this.#namespace = url.pathname;
    this.#url = new URL(options.path, url);
    this.#url.search = new URLSearchParams({ EIO: 4, transport: options.transports[0] });
    // The browser knows before any watchdog that the network went, and that it is back. (The server cannot tell: it was not there.)
    globalThis.addEventListener?.('offline', () => this.#engine?.abandon('transport close'));
    globalThis.addEventListener?.('online', () => this.active && this.connect());
  }

  /** What carries the messages: `polling`, `websocket`, or undefined without a connection. */
  get transport() {
    return this.connected ? this.#engine.transport : undefined;
  }

  /** Connects, now. Also ends the pause before the next attempt. */
  connect() {
    this.active = true;
    if (this.#engine) return this;
    clearTimeout(this.#timer);
    if (this.#attempts) this.io.fire('reconnect_attempt', this.#attempts);
    const engine = this.#engine = new Engine(new URL(this.#url), this.#options.transports);
    this.#decoder = new Decoder();
    this.#early = [];
    this.#timer = setTimeout(() => engine.abandon('timeout'), this.#options.timeout);
    engine.on('open', async () => {
      const { auth } = this.#options; // a namespace is joined by asking for it: `0{"token":"..."}`
      const data = typeof auth === 'function' ? await auth() : auth;
      engine.send(encode({ type: CONNECT, namespace: this.#namespace, data }));
    });
    engine.on('upgrade', () => this.connected && this.io.fire('transport', engine.transport));
    engine.on('close', (reason) => engine === this.#engine && this.#lost(reason));
    engine.on('message', (message) => {
      if (engine !== this.#engine) return; // left already
      try {
        const packet = this.#decoder.add(message);
        if (packet?.namespace === this.#namespace) this.#receive(packet);
      } catch {
        engine.abandon('parse error');
      }
    });
    return this;
  }

  /** Leaves, for good: until `connect()` there is no reconnection. */
  disconnect() {
    if (this.connected) this.#engine.send(encode({ type: DISCONNECT, namespace: this.#namespace }));
    this.#end('io client disconnect');
    return this;
  }

  // -- emitting --------------------------------------------------------------------------------------------------------------------------

  /** Sends an event. A function as last argument gets the server's acknowledgement. Without a connection the event waits for the next one. */
  emit(event, ...args) {
    this.#emit(event, args);
    return this;
  }

  /** Like `emit`, with a promise for the acknowledgement. It fails if the connection is lost while waiting. */
  emitWithAck(event, ...args) {
    return this.timeout(0).emitWithAck(event, ...args);
  }

  /** `socket.timeout(ms).emit(event, ..., (error, answer) => {})` or `await socket.timeout(ms).emitWithAck(event, ...)`: waits no longer than that. */
  timeout(ms) {
    const emit = (event, ...args) => (this.#emit(event, args, { ms }), this);
    return {
      emit,
      emitWithAck: (event, ...args) => new Promise((resolve, reject) => {
        emit(event, ...args, (error, answer) => (error ? reject(error) : resolve(answer)));
      }),
    };
  }

  /** `socket.volatile.emit(...)`: now or never, for what is worthless later. */
  get volatile() {
    return { emit: (event, ...args) => (this.#emit(event, args, { volatile: true }), this) };
  }

  #emit(event, args, { volatile = false, ms } = {}) {
    if (RESERVED.has(event)) throw new Error(`"${event}" is a reserved event name`);
    const id = typeof args.at(-1) === 'function' ? this.#expect(args.pop(), ms) : undefined;
    const messages = encode({ type: EVENT, namespace: this.#namespace, data: [event, ...args], id });
    if (volatile && !(this.connected && this.#engine.writable)) return;
    if (this.connected) this.#engine.send(messages);
    else this.#outgoing.push({ id, messages });
  }

  /** Notes who waits for an acknowledgement. `ms` undefined: without error handling; 0: without a limit. */
  #expect(ack, ms) {
    const id = this.#nextAck++;
    const timer = ms && setTimeout(() => {
      this.#acks.delete(id);
      this.#outgoing = this.#outgoing.filter((waiting) => waiting.id !== id); // nobody waits any more: do not send it later
      ack(new Error('operation has timed out'));
    }, ms);
    const withError = ms !== undefined;
    this.#acks.set(id, {
      answer: (args) => (clearTimeout(timer), withError ? ack(null, ...args) : ack(...args)),
      fail: (error) => (clearTimeout(timer), withError && ack(error)),
    });
    return id;
  }

  // -- receiving -------------------------------------------------------------------------------------------------------------------------

  #receive({ type, data, id }) {
    switch (type) {
      case CONNECT: // `0{"sid":"..."}`: we are in
        return this.#connected(data.sid);
      case EVENT: // it may overtake the answer to CONNECT if the server emits while it lets us in
        return this.connected ? this.#event(data, id) : this.#early.push([data, id]);
      case ACK: {
        const waiting = this.#acks.get(id);
        this.#acks.delete(id);
        return waiting?.answer(data);
      }
      case DISCONNECT:
        return this.#end('io server disconnect');
      case CONNECT_ERROR: { // `4{"message":"...","data":...}`: refused, so trying again would be of no use
        this.#end('refused');
        return this.fire('connect_error', Object.assign(new Error(data.message), { data: data.data }));
      }
    }
  }

  #connected(sid) {
    clearTimeout(this.#timer);
    const attempts = this.#attempts;
    this.#attempts = 0;
    this.id = sid;
    this.connected = true;
    for (const [data, id] of this.#early.splice(0)) this.#event(data, id);
    for (const { messages } of this.#outgoing.splice(0)) this.#engine.send(messages);
    this.io.fire('transport', this.#engine.transport);
    if (attempts) this.io.fire('reconnect', attempts);
    this.fire('connect');
  }

  #event(data, id) {
    if (id === undefined) return this.fire(...data);
    let answered = false; // the server wants an acknowledgement: the listeners get a function as last argument
    this.fire(...data, (...args) => {
      if (answered || !this.connected) return;
      answered = true;
      this.#engine.send(encode({ type: ACK, namespace: this.#namespace, data: args, id }));
    });
  }

  // -- the end, and the next beginning ---------------------------------------------------------------------------------------------------

  /** The end by intention of one side: no reconnection. */
  #end(reason) {
    this.active = false;
    this.#attempts = 0;
    const engine = this.#engine;
    if (!engine) return clearTimeout(this.#timer);
    this.#lost(reason);
    engine.close();
  }

  /** The connection is gone, or could not be made. */
  #lost(reason) {
    const was = this.connected;
    this.#engine = null;
    this.connected = false;
    this.id = undefined;
    clearTimeout(this.#timer);
    for (const [id, waiting] of this.#acks) { // answers that cannot come any more; those of unsent events still can
      if (this.#outgoing.some((unsent) => unsent.id === id)) continue;
      this.#acks.delete(id);
      waiting.fail(new Error('socket has been disconnected'));
    }
    if (was) this.fire('disconnect', reason);
    else if (this.active) this.fire('connect_error', new Error(reason));
    if (this.active && !this.#options.reconnection) this.active = false;
    if (!this.active || this.#engine) return; // (a listener may have called `disconnect` or `connect`)
    const { reconnectionDelay, reconnectionDelayMax, randomizationFactor } = this.#options;
    const jitter = 1 + randomizationFactor * (2 * Math.random() - 1);
    const delay = Math.round(Math.min(reconnectionDelay * 2 ** this.#attempts++ * jitter, reconnectionDelayMax));
    this.#timer = setTimeout(() => this.connect(), delay);
    this.io.fire('reconnect_scheduled', { attempt: this.#attempts, delay });
  }
}

/**
 * Engine.IO protocol 4: one connection that carries strings and bytes, over HTTP long-polling or WebSocket, as it travels on the wire. The layer under
 * sockeye.js, which knows nothing of events, acknowledgements or reconnection.
 */

/** Listeners by event name. A listener that throws is reported to the console and never harms the connection. */
export class Emitter {
  #listeners = new Map();

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  once(event, listener) {
    const wrapped = (...args) => (this.off(event, wrapped), listener(...args));
    wrapped.original = listener;
    return this.on(event, wrapped);
  }

  /** Takes away one listener, or all of the event without `listener`. */
  off(event, listener) {
    const keep = (known) => listener && known !== listener && known.original !== listener;
    this.#listeners.set(event, (this.#listeners.get(event) ?? []).filter(keep));
    return this;
  }

  /** Calls the listeners. (Not called `emit`: that is what a Socket does towards the server.) */
  fire(event, ...args) {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        listener(...args);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

const toBase64 = (buffer) => {
  const bytes = new Uint8Array(buffer);
  let binary = '';
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(binary);
};
const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;

/** A text packet is one digit and its data: `4hello`. A binary packet is always a message: bare bytes over WebSocket, `b` + base64 over HTTP. */
const OPEN = '0', CLOSE = '1', PING = '2', PONG = '3', MESSAGE = '4', UPGRADE = '5', NOOP = '6';

/** What stands between the packets of one HTTP body ("record separator"). */
const SEPARATOR = '\x1e';

/** How long a WebSocket may take to prove itself before the session stays on HTTP for good. */
const PROBE_TIMEOUT = 10_000;

/**
 * One Engine.IO session. It does not reconnect: when it is over, it is over. Events: `open`, `message` (string or ArrayBuffer), `upgrade`
 * (the transport has changed), `close` (reason).
 *
 * HTTP long-polling works everywhere, so the session starts there: at any time one GET is waiting at the server for what the server has to
 * say, and POSTs carry what the client has to say. Meanwhile a WebSocket is tried on the side; if it works, the session moves over.
 */
export class Engine extends Emitter {
  transport;             // 'polling' or 'websocket': what carries the messages now
  #state = 'opening';    // 'opening' -> 'open' -> ('closing' ->) 'closed'
  #url;                  // where the server is, with the query
  #upgradable;           // whether the user wants WebSocket after polling
  #maxPayload = Infinity;
  #queue = [];           // packets to be written, oldest first
  #abort = new AbortController();
  #getting = false;      // a GET is at the server
  #posting = false;      // a POST is on its way
  #ws = null;            // the WebSocket that carries the session ...
  #probing = null;       // ... or the one that is being tried out: { ws, timer, proven }
  #watchdog = null;
  #period = 0;           // within this time the server has to send a ping
  #deadline = Infinity;

  constructor(url, transports) {
    super();
    this.#url = url;
    this.#upgradable = transports.includes('websocket') && 'WebSocket' in globalThis;
    this.transport = transports[0];
    if (this.transport === 'websocket') this.#carry(this.#webSocket());
    else this.#get();
  }

  /** Whether a packet would leave at once. */
  get writable() {
    return this.#state === 'open' && !this.#queue.length && !this.#posting && !this.#ws?.bufferedAmount;
  }

  /** Queues messages: strings or ArrayBuffers. */
  send(messages) {
    // A machine that slept wakes up with a dead connection and timers that have not noticed: look at the clock as well.
    if (Date.now() > this.#deadline) return this.#close('ping timeout');
    this.#queue.push(...messages.map((message) => (typeof message === 'string' ? MESSAGE + message : message)));
    this.#flush();
  }

  /** Sends what is queued, says good-bye and ends the session. */
  close() {
    if (this.#state !== 'open') return this.#close('forced close');
    this.#state = 'closing';
    this.#stopProbing();
    this.#queue.push(CLOSE);
    this.#flush(); // over HTTP `#post` goes on from here
    if (this.#ws) this.#close('forced close');
  }

  /** Ends the session at once. */
  abandon(reason) {
    this.#close(reason);
  }

  // -- receiving: the same for both transports -------------------------------------------------------------------------------------------

  #receive(packet) {
    if (this.#state === 'closed') return;
    if (typeof packet !== 'string') return this.fire('message', packet);
    const data = packet.slice(1);
    switch (packet[0]) {
      case OPEN: return this.#handshake(data);
      case CLOSE: return this.#close('transport close');
      case PING: return this.#heard(), this.#queue.push(PONG + data), this.#flush();
      case MESSAGE: return this.fire('message', data);
      case NOOP: return; // only says "here is your GET back"
      default: return this.#close('parse error');
    }
  }

  /** The first packet: `0{"sid":"...","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`. */
  #handshake(json) {
    let open;
    try {
      open = JSON.parse(json);
    } catch {
      return this.#close('parse error');
    }
    this.#url.searchParams.set('sid', open.sid); // from now on every request says which session it belongs to
    this.#maxPayload = open.maxPayload ?? Infinity;
    this.#period = open.pingInterval + open.pingTimeout;
    this.#state = 'open';
    this.#heard();
    this.fire('open');
    if (!this.#ws && this.#upgradable && open.upgrades.includes('websocket') && this.#state === 'open') this.#probe();
  }

  /** The server pings at every interval. Silence means that the connection is gone, however healthy it looks from here. */
  #heard() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#close('ping timeout'), this.#period);
    this.#deadline = Date.now() + this.#period;
  }

  #close(reason) {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    clearTimeout(this.#watchdog);
    this.#stopProbing();
    this.#abort.abort();
    if (this.#ws) {
      this.#ws.onmessage = this.#ws.onclose = null;
      this.#ws.close();
    }
    this.fire('close', reason);
  }

  #flush() {
    if (this.#state === 'opening' || this.#state === 'closed') return;
    if (this.#ws) for (const packet of this.#queue.splice(0)) this.#ws.send(packet);
    else this.#post();
  }

  // -- HTTP long-polling -----------------------------------------------------------------------------------------------------------------

  /** One GET after the other. The first one, without `sid`, opens the session; the others come back when the server has something to say. */
  async #get() {
    if (this.#getting || this.#ws || this.#probing?.proven || this.#state.startsWith('clos')) return;
    this.#getting = true;
    const body = await this.#request({ method: 'GET' });
    this.#getting = false;
    if (body === null) return;
    for (const packet of body.split(SEPARATOR)) this.#receive(packet[0] === 'b' ? fromBase64(packet.slice(1)) : packet);
    this.#switchOver();
    this.#get();
  }

  /** One POST at a time, or the order would be lost. Each takes as much of the queue as the server accepts in one body. */
  async #post() {
    if (this.#posting || this.#probing?.proven || !this.#queue.length) return;
    const body = [];
    let size = 0;
    while (this.#queue.length) {
      const packet = typeof this.#queue[0] === 'string' ? this.#queue[0] : 'b' + toBase64(this.#queue[0]);
      size += new TextEncoder().encode(packet).length + 1;
      const farewell = packet === CLOSE; // travels alone: the server may drop what it has not handled yet
      if (body.length && (size > this.#maxPayload || farewell)) break;
      body.push(packet);
      this.#queue.shift();
    }
    this.#posting = true;
    const answer = await this.#request({
      method: 'POST', headers: { 'content-type': 'text/plain;charset=UTF-8' }, body: body.join(SEPARATOR),
    });
    this.#posting = false;
    if (answer === null) return;
    if (this.#state === 'closing' && !this.#queue.length) return this.#close('forced close');
    this.#switchOver();
    this.#flush();
  }

  /** The text of the answer, or null if there was none worth the name: then the session has been closed. */
  async #request(options) {
    try {
      const response = await fetch(this.#url, { ...options, cache: 'no-store', signal: this.#abort.signal });
      const text = await response.text();
      if (response.ok) return text;
    } catch { /* no connection, or aborted by `#close` */ }
    this.#close('transport error');
    return null;
  }

  // -- WebSocket, from the start or by upgrade -------------------------------------------------------------------------------------------

  #webSocket() {
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('transport', 'websocket');
    const ws = new WebSocket(url);
    ws.binaryType = 'arraybuffer';
    return ws;
  }

  /** From here on the WebSocket carries the session. */
  #carry(ws) {
    this.#ws = ws;
    this.transport = 'websocket';
    ws.onmessage = ({ data }) => this.#receive(data);
    ws.onclose = () => this.#close(this.#state === 'opening' ? 'transport error' : 'transport close');
  }

  /**
   * The upgrade. Not every proxy lets WebSockets pass, and some let them open and then swallow what is sent. So the new WebSocket is asked first:
   * `2probe` goes out, and only if `3probe` comes back is it used.
   */
  #probe() {
    const ws = this.#webSocket();
    const giveUp = () => {
      this.#stopProbing();
      this.#get(); // both were held back if it was proven already
      this.#flush();
    };
    this.#probing = { ws, proven: false, timer: setTimeout(giveUp, PROBE_TIMEOUT) };
    ws.onopen = () => ws.send(PING + 'probe');
    ws.onclose = giveUp;
    ws.onmessage = ({ data }) => {
      if (data !== PONG + 'probe') return giveUp();
      this.#probing.proven = true; // no further GET or POST; the server answers the GET that is waiting there with `6`
      this.#switchOver();
    };
  }

  /** Once both HTTP requests are home, nothing can overtake anything: `5` tells the server that the WebSocket takes over. */
  #switchOver() {
    if (!this.#probing?.proven || this.#getting || this.#posting || this.#state === 'closed') return;
    const { ws, timer } = this.#probing;
    clearTimeout(timer);
    this.#probing = null;
    ws.send(UPGRADE);
    this.#carry(ws);
    this.#flush();
    this.fire('upgrade');
  }

  #stopProbing() {
    if (!this.#probing) return;
    const { ws, timer } = this.#probing;
    clearTimeout(timer);
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.close();
    this.#probing = null;
  }
}

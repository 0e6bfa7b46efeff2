/**
 * The chat: its state, and what connects the network (sockeye.js) with the screen (view.js, composer.js, panels.js). The events are those of ../PROTOCOL.md.
 */
import { edit, limits, notice, startComposer } from './composer.js';
import { closePanels, narrow, openLightbox, showConnection } from './panels.js';
import { connect } from './sockeye.js';
import * as view from './view.js';

const $ = (id) => document.getElementById(id);
const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

const ROOM_NAME = /^[a-z0-9_-]{1,32}$/;
const KEEP = 500;                    // messages per room on the page

/** What survives a reload of this window. A second window is somebody else. */
const saved = {
  session: randomId(), name: null, rooms: ['lobby'], mine: [],
  ...JSON.parse(sessionStorage.getItem('sockeye-chat') ?? '{}'),
};
const remember = () => sessionStorage.setItem('sockeye-chat', JSON.stringify(saved));

// -- state --------------------------------------------------------------------------------------------------------------------------------

let me = null;                       // { id, name } as the server knows us
let current = null;                  // the room on screen
let counts = [];                     // [{ room, members }] from the server, in its order
const rooms = new Map();             // the rooms we are in, by name
const entering = new Map();          // events of rooms whose `join` is not answered yet, by name
const outbox = [];                   // own messages without acknowledgement, oldest first

const newRoom = (name) => ({
  name,
  entered: false,                    // on the present connection
  members: new Map(),
  messages: [],                      // by time; those without acknowledgement at the end
  ids: new Set(),
  list: view.el('ol.messages'),
  scroll: null,                      // null: at the end
  unread: 0,
  newFrom: null,                     // the first unread message
  typing: new Map(),                 // member id -> { name, timer }
});

// -- connection ---------------------------------------------------------------------------------------------------------------------------

const socket = connect(location.origin, { auth: () => ({ name: saved.name, session: saved.session }), ...testOptions(), autoConnect: false });

/** `?transports=polling` and the like, to see how the chat does without WebSocket. */
function testOptions() {
  const transports = new URLSearchParams(location.search).get('transports')?.split(',').filter((name) => ['polling', 'websocket'].includes(name));
  return transports?.length ? { transports } : {};
}

/** A request with its answer; waits where the server asks for patience. Throws the server's `error`, or that there was no answer. */
async function request(event, data, ms = 10_000) {
  for (;;) {
    const answer = await socket.timeout(ms).emitWithAck(event, data);
    if (answer.ok) return answer;
    if (answer.error !== 'rate limited') throw Object.assign(new Error(answer.error), { refused: true });
    await new Promise((done) => setTimeout(done, answer.retryAfter ?? 1000));
  }
}

/** The first event of every connection: who we are, and into our rooms again. */
socket.on('welcome', async ({ me: assigned, list, limits: given }) => {
  me = assigned;
  counts = list;
  Object.assign(limits, given);
  saved.mine = [...saved.mine, me.id].slice(-50);
  remember();
  $('my-name').textContent = me.name;
  $('my-avatar').replaceChildren(view.avatar(me.name));
  showApp();
  const names = new Set([current?.name, ...saved.rooms].filter(Boolean)); // the one on screen first
  await Promise.all([...names].map(enter));
  for (const message of outbox) if (message.status !== 'failed') view.setStatus(message.node, 'sending');
  pump();
});

socket.on('disconnect', (reason) => {
  for (const room of rooms.values()) {
    room.entered = false;
    for (const { timer } of room.typing.values()) clearTimeout(timer);
    room.typing.clear();
  }
  for (const message of outbox) if (message.status !== 'failed') view.setStatus(message.node, 'waiting');
  showTyping();
  if (reason === 'io server disconnect') showConnection('ended');
});

socket.on('connect_error', (error) => {
  if (error.message !== 'invalid name') {
    if ($('app').hidden) askName(socket.active ? 'The server cannot be reached. Trying again …' : `The server refuses: ${error.message}.`);
    return showConnection(socket.active ? 'reconnecting' : 'refused', error);
  }
  const reasons = {
    'too long': 'That name is too long: 24 characters at most.',
    'control character': 'That name has characters that cannot be shown.',
  };
  askName(reasons[error.data?.reason] ?? 'Please type a name.');
});

socket.io.on('reconnect_scheduled', ({ delay }) => showConnection('reconnecting', { until: Date.now() + delay }));
socket.io.on('reconnect_attempt', () => showConnection('connecting', { first: !me }));
socket.io.on('transport', (transport) => showConnection('online', { transport }));

$('retry-now').onclick = () => {
  showConnection('connecting', { first: !me });
  socket.connect();
};

// -- who are you --------------------------------------------------------------------------------------------------------------------------

function askName(problem = '') {
  if ($('hello').hidden) $('name').value = saved.name ?? localStorage.getItem('sockeye-chat-name') ?? '';
  $('app').hidden = true;
  $('hello').hidden = false;
  $('name-error').textContent = problem;
  $('name').setAttribute('aria-invalid', String(Boolean(problem)));
  if (document.activeElement === $('name')) return; // do not disturb who is typing
  $('name').focus();
  $('name').select();
}

function showApp() {
  if (!$('app').hidden) return;
  $('hello').hidden = true;
  $('app').hidden = false;
  if (!current) show(rooms.get(saved.rooms[0]) ?? null);
  if (!narrow.matches) $('text').focus();
}

$('hello-form').onsubmit = (event) => {
  event.preventDefault();
  const name = $('name').value.trim();
  if (!name || [...name].length > 24) return askName(name ? 'That name is too long: 24 characters at most.' : 'Please type a name.');
  saved.name = name;
  remember();
  localStorage.setItem('sockeye-chat-name', name);
  socket.disconnect();
  socket.connect();
};

$('rename').onclick = () => {
  socket.disconnect();
  closePanels();
  askName();
};

// -- rooms --------------------------------------------------------------------------------------------------------------------------------

/** Enters a room on the present connection, for the first time or again, and fetches what it missed. */
async function enter(name) {
  const room = rooms.get(name) ?? newRoom(name);
  const last = room.messages.findLast((message) => message.id)?.id;
  const early = [];
  entering.set(name, early);
  try {
    const { history, members } = await request('join', { room: name, ...(last && { after: last }) });
    rooms.set(name, room);
    room.entered = true;
    room.members = new Map(members.map((member) => [member.id, member]));
    const missed = last !== undefined;
    for (const message of history) addMessage(room, message, { quiet: !missed });
    entering.delete(name);
    for (const deliver of early) deliver();
    if (!saved.rooms.includes(name)) saved.rooms.push(name);
    remember();
    if (!current) show(room);
    else if (current === room) showRoom();
    showRooms();
    return room;
  } catch (error) {
    if (entering.get(name) === early) entering.delete(name);
    if (error.refused && !rooms.has(name)) saved.rooms = saved.rooms.filter((known) => known !== name);
    if (!error.refused) return null; // the connection went; the next one tries again
    notice({ 'too many rooms': `You are in ${limits.rooms} rooms. Leave one to enter another.`, 'server full': 'The server has no space for another room.' }[error.message]
      ?? `The room #${name} cannot be entered: ${error.message}.`);
    return null;
  }
}

async function openRoom(name) {
  closePanels();
  if (rooms.has(name)) return show(rooms.get(name));
  if (!socket.connected) return notice('You can enter another room once the connection is back.');
  if (rooms.size >= limits.rooms) return notice(`You are in ${limits.rooms} rooms. Leave one to enter another.`);
  const room = await enter(name);
  if (room) show(room);
}

async function leaveRoom() {
  const room = current;
  if (!room) return;
  rooms.delete(room.name);
  for (const message of room.messages) forget(room, message);
  saved.rooms = saved.rooms.filter((name) => name !== room.name);
  remember();
  for (const message of [...outbox]) if (message.room === room.name) discard(message);
  show(rooms.values().next().value ?? null);
  if (socket.connected) await request('leave', { room: room.name }).catch(() => {});
}

/** Puts a room on screen. */
function show(room) {
  if (current && current !== room) {
    current.newFrom = null;
    current.list.querySelector('.separator.new')?.remove();
  }
  current = room;
  edit(room?.name ?? null);
  $('log').replaceChildren(room ? room.list : view.el('div.empty', {}, view.el('p', {}, view.el('strong', {}, 'You are in no room')),
    view.el('p', {}, 'Choose one from the list, or make a new one.')));
  $('conversation').classList.toggle('no-room', !room);
  if (room) {
    if (location.hash !== `#${room.name}`) history.replaceState(null, '', `#${room.name}`);
    arrange(room);
    const first = room.newFrom && room.list.querySelector('.separator.new');
    if (first) first.scrollIntoView({ block: 'center' });
    else $('log').scrollTop = room.scroll ?? $('log').scrollHeight;
    seen();
  }
  showRoom();
  showRooms();
}

function showRoom() {
  $('room-title').replaceChildren(...(current ? [view.el('span.hash', {}, '#'), current.name] : ['Sockeye chat']));
  $('leave-room').hidden = $('open-people').hidden = !current;
  const people = [...(current?.members.values() ?? [])].sort((a, b) => (b.id === me?.id) - (a.id === me?.id) || a.name.localeCompare(b.name));
  $('people-count').textContent = people.length;
  $('open-people').ariaLabel = `${people.length} people in this room`;
  $('people-title').textContent = `Online · ${people.length}`;
  $('people').replaceChildren(...people.map((member) => view.personItem(member, member.id === me?.id, current.typing.has(member.id))));
  if (current && !current.messages.length) {
    current.list.replaceChildren(view.el('li.empty', {}, view.el('strong', {}, `This is #${current.name}`),
      view.el('span', {}, people.length > 1 ? 'Nobody has written here yet. Say hello!' : 'Nobody else is here yet. Open this page in a second window to talk to yourself.')));
  }
  showTyping();
  showTitle();
}

function showRooms() {
  const focused = document.activeElement?.dataset?.room;
  const members = new Map(counts.map(({ room, members: count }) => [room, count]));
  const item = (name) => view.roomItem({
    name, members: members.get(name) ?? 0, unread: rooms.get(name)?.unread ?? 0, current: current?.name === name,
  }, () => openRoom(name));
  const others = counts.map(({ room }) => room).filter((name) => !rooms.has(name));
  $('joined-rooms').replaceChildren(...[...rooms.keys()].map(item));
  $('other-rooms').replaceChildren(...others.map(item));
  $('other-title').hidden = !others.length;
  if (focused) document.querySelector(`[data-room="${focused}"]`)?.focus();
  showTitle();
}

function showTitle() {
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  $('menu-badge').hidden = unread === (current?.unread ?? 0);
  document.title = `${unread ? `(${unread}) ` : ''}${current ? `#${current.name} · ` : ''}Sockeye chat`;
}

/** What is on screen has been read. */
function seen() {
  if (!current?.unread || document.hidden) return;
  current.unread = 0;
  showRooms();
}

socket.on('rooms', ({ list }) => {
  counts = list;
  showRooms();
});

/** Listens to an event of a room. What comes while we are entering waits until we are in. */
function onRoom(event, listener) {
  const deliver = (data) => rooms.has(data.room) && listener(rooms.get(data.room), data);
  socket.on(event, (data) => {
    const early = entering.get(data.room);
    if (early) early.push(() => deliver(data));
    else deliver(data);
  });
}

onRoom('joined', (room, { member }) => {
  room.members.set(member.id, member);
  if (room === current) showRoom();
});

onRoom('left', (room, { member }) => {
  room.members.delete(member.id);
  stopTyping(room, member.id);
  if (room === current) showRoom();
});

$('new-room').onsubmit = (event) => {
  event.preventDefault();
  const name = $('new-room-name').value.trim().toLowerCase().replace(/^#/, '').replace(/\s+/g, '-');
  const problem = !name ? 'Please type a name.' : ROOM_NAME.test(name) ? '' : 'Up to 32 letters a-z, digits, - and _.';
  $('new-room-error').textContent = problem;
  if (problem) return $('new-room-name').focus();
  $('new-room-name').value = '';
  openRoom(name);
};
$('new-room-name').oninput = () => {
  $('new-room-error').textContent = '';
};
$('leave-room').onclick = leaveRoom;
addEventListener('hashchange', () => {
  const name = location.hash.slice(1);
  if (me && ROOM_NAME.test(name) && name !== current?.name) openRoom(name);
});

// -- messages -----------------------------------------------------------------------------------------------------------------------------

const contents = new Map();          // file id -> promise of a blob URL

/** The content of a file: it came with the message, or is fetched now. */
function load(file) {
  const known = contents.get(file.id);
  if (known) return known;
  const loading = file.data
    ? Promise.resolve(view.blobUrl(file.data, file.type))
    : request('file-content', { id: file.id }, 60_000).then(({ data, type }) => view.blobUrl(data, type));
  delete file.data; // the blob has it now
  contents.set(file.id, loading);
  loading.catch(() => contents.delete(file.id));
  return loading;
}

function build(message, own) {
  message.node = view.messageNode(message, own, { load, open: openLightbox });
  message.own = own;
  return message;
}

/** A message of somebody, or an own one from the history. */
function addMessage(room, message, { quiet = false } = {}) {
  if (room.ids.has(message.id)) return;
  if (outbox.some((waiting) => waiting.id === message.id)) return;
  room.ids.add(message.id);
  const own = saved.mine.includes(message.from.id);
  build(message, own);
  if (own) view.setStatus(message.node, 'sent');
  for (const file of message.files) if (file.data) load(file);
  if (!quiet && !own && (room !== current || document.hidden)) {
    room.newFrom ??= message.id;
    room.unread += 1;
  }
  insert(room, message);
  if (!quiet && !own) announce(room, message);
}

/** Puts a message where it belongs. */
function insert(room, message) {
  const { messages } = room;
  let place = messages.length;
  while (place > 0 && (messages[place - 1].pending || messages[place - 1].at > message.at) && !message.pending) place -= 1;
  messages.splice(place, 0, message);
  if (messages.length > KEEP) forget(room, messages.shift());
  arrange(room);
  if (room === current && !atEnd && !message.own) {
    missed += 1;
    showJump();
  }
  showRooms();
}

/** Lets go of a message that is too far back, and of its files. */
function forget(room, message) {
  room.ids.delete(message.id);
  for (const { id } of message.files) {
    contents.get(id)?.then(URL.revokeObjectURL, () => {});
    contents.delete(id);
  }
}

/** Brings the list of nodes into line with the messages: order, days, groups. Touches only what differs. */
function arrange(room) {
  const nodes = [];
  room.messages.forEach((message, index) => {
    const before = room.messages[index - 1];
    const newDay = !before || !view.sameDay(before.at, message.at);
    if (newDay) nodes.push(message.daySeparator ??= view.separator(view.formatDay(message.at), 'day'));
    const isNew = message.id && message.id === room.newFrom;
    if (isNew) nodes.push(message.newSeparator ??= view.separator('New', 'new'));
    const grouped = !newDay && !isNew && before.from.id === message.from.id && message.at - before.at < 300_000;
    message.node.classList.toggle('grouped', grouped);
    before?.node.classList.toggle('last', !grouped);
    message.node.classList.add('last');
    nodes.push(message.node);
  });
  const wanted = new Set(nodes);
  for (const node of [...room.list.children]) if (!wanted.has(node)) node.remove();
  nodes.forEach((node, index) => {
    if (room.list.children[index] !== node) room.list.insertBefore(node, room.list.children[index] ?? null);
  });
}

/** For those who listen instead of looking. */
function announce(room, message) {
  const files = message.files.length ? `${message.files.length === 1 ? 'a file' : `${message.files.length} files`}. ` : '';
  const line = view.el('p', {}, `${message.from.name}${room === current ? '' : ` in ${room.name}`}: ${files}${message.text}`);
  $('announcer').append(line);
  setTimeout(() => line.remove(), 5000);
}

onRoom('message', (room, message) => {
  stopTyping(room, message.from.id);
  addMessage(room, message);
});

// -- sending ------------------------------------------------------------------------------------------------------------------------------

/** Own messages leave one after the other, in order; one that got no answer is sent again after reconnecting, under the same clientId. */
let pumping = false;

async function pump() {
  if (pumping) return;
  pumping = true;
  for (;;) {
    const message = outbox.find((waiting) => waiting.status !== 'failed' && rooms.get(waiting.room)?.entered);
    if (!message || !socket.connected) break;
    const files = message.files.map(({ name, type, content }) => ({ name, type, data: content }));
    try {
      const { id, at } = await request('message', {
        room: message.room, text: message.text, clientId: message.clientId, ...(files.length && { files }),
      }, files.length ? 60_000 : 10_000);
      delivered(message, id, at);
    } catch (error) {
      if (error.refused) failed(message, error.message);
      else if (socket.connected) continue; // no answer in time: once more
      else break;
    }
  }
  pumping = false;
}

function delivered(message, id, at) {
  if (!outbox.includes(message)) return; // removed meanwhile
  outbox.splice(outbox.indexOf(message), 1);
  const room = rooms.get(message.room);
  Object.assign(message, { id, at, pending: false, status: 'sent' });
  view.setTime(message.node, at);
  view.setStatus(message.node, 'sent');
  if (!room) return;
  room.messages.splice(room.messages.indexOf(message), 1);
  if (room.ids.has(id)) message.node.remove(); // it came with the history before
  else {
    room.ids.add(id);
    insert(room, message);
  }
}

function failed(message, error) {
  message.status = 'failed';
  view.setStatus(message.node, 'failed');
  view.setProblem(message.node, `Not sent: ${error}.`, {
    retry() {
      message.status = 'waiting';
      view.setProblem(message.node, '');
      view.setStatus(message.node, socket.connected ? 'sending' : 'waiting');
      pump();
    },
    discard: () => discard(message),
  });
}

function discard(message) {
  if (!outbox.includes(message)) return;
  outbox.splice(outbox.indexOf(message), 1);
  const room = rooms.get(message.room);
  message.node.remove();
  if (!room) return;
  room.messages.splice(room.messages.indexOf(message), 1);
  arrange(room);
  if (room === current) showRoom();
}

/** Shows a message at once, and sends it as soon as there is a connection. */
function send({ text, files }) {
  const message = build({
    clientId: randomId(), room: current.name, from: me, text, at: Date.now(), pending: true, status: 'waiting',
    files: files.map(({ file, url, content }) => ({ id: randomId(), name: file.name, type: file.type, size: file.size, content, url })),
  }, true);
  for (const file of message.files) contents.set(file.id, Promise.resolve(file.url ?? view.blobUrl(file.content, file.type)));
  view.setStatus(message.node, socket.connected ? 'sending' : 'waiting');
  outbox.push(message);
  atEnd = true;
  insert(current, message);
  toEnd();
  pump();
}

startComposer({
  send,
  typing: (room, typing) => socket.volatile.emit('typing', { room, typing }),
});

// -- who is typing ------------------------------------------------------------------------------------------------------------------------

onRoom('typing', (room, { member, typing }) => {
  stopTyping(room, member.id);
  if (typing) room.typing.set(member.id, { name: member.name, timer: setTimeout(() => stopTyping(room, member.id), 6000) });
  if (room === current) showRoom();
});

function stopTyping(room, id) {
  if (!room.typing.has(id)) return;
  clearTimeout(room.typing.get(id).timer);
  room.typing.delete(id);
  if (room === current) showRoom();
}

function showTyping() {
  const names = [...(current?.typing.values() ?? [])].map(({ name }) => view.el('bdi', {}, name));
  const dots = view.el('span.dots', { ariaHidden: 'true' }, view.el('i'), view.el('i'), view.el('i'));
  const parts = {
    0: [], 1: [dots, names[0], ' is typing'], 2: [dots, names[0], ' and ', names[1], ' are typing'],
  }[names.length] ?? [dots, `${names.length} people are typing`];
  $('typing').replaceChildren(view.el('span.line', {}, ...parts));
}

// -- scrolling ----------------------------------------------------------------------------------------------------------------------------

let atEnd = true;
let missed = 0;

function toEnd() {
  $('log').scrollTop = $('log').scrollHeight;
}

function showJump() {
  if (atEnd) missed = 0;
  $('jump').hidden = atEnd;
  $('jump-text').textContent = missed ? `${missed} new` : 'Latest';
}

$('log').onscroll = () => {
  const { scrollHeight, scrollTop, clientHeight } = $('log');
  atEnd = scrollHeight - scrollTop - clientHeight < 60;
  if (current) current.scroll = atEnd ? null : scrollTop;
  showJump();
};
$('jump').onclick = () => {
  $('log').scrollTo({ top: $('log').scrollHeight, behavior: 'smooth' });
};
/** Whatever grows, a new message, an image that arrived, the keyboard of a phone: who was at the end stays there. */
const follow = new ResizeObserver(() => atEnd && toEnd());
follow.observe($('log'));
new MutationObserver(() => {
  follow.disconnect();
  follow.observe($('log'));
  if ($('log').firstElementChild) follow.observe($('log').firstElementChild);
}).observe($('log'), { childList: true });

// -- keys --------------------------------------------------------------------------------------------------------------------------------

addEventListener('keydown', (event) => {
  if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown') && current) { // the room before, the room after
    event.preventDefault();
    const list = [...rooms.values()];
    show(list.at((list.indexOf(current) + (event.key === 'ArrowUp' ? -1 : 1)) % list.length));
  }
});
document.addEventListener('visibilitychange', seen);

// -- start --------------------------------------------------------------------------------------------------------------------------------

const wanted = location.hash.slice(1);
if (ROOM_NAME.test(wanted)) saved.rooms = [wanted, ...saved.rooms.filter((name) => name !== wanted)].slice(0, limits.rooms);
if (saved.name) socket.connect();
else askName();

/**
 * What the chat looks like: builds DOM nodes from the data of the chat. Nothing here knows the network, and nothing of what people write is ever
 * parsed as HTML: text goes into text nodes, names of files into properties.
 */

/** `el('p.big', { title: 'x', onclick }, 'text', child, ...)`: an element with classes, properties or attributes, and children. */
export function el(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

/** One of sixteen hues, by an FNV hash of the name. */
const hue = (name) => ([...name.toLowerCase()].reduce((hash, char) => Math.imul(hash ^ char.codePointAt(0), 16777619), 0x811c9dc5) >>> 12) % 16 * 22.5;

/** A coloured disc with initials; the same name has the same colour everywhere. */
export function avatar(name) {
  const words = name.trim().split(/\s+/);
  const initials = [words[0], words.length > 1 ? words.at(-1) : ''].map((word) => (/[\p{L}\p{N}]/u.exec(word) ?? [[...word][0] ?? ''])[0]).join('');
  const node = el('span.avatar', { ariaHidden: 'true' }, initials.toUpperCase());
  node.style.setProperty('--hue', hue(name));
  return node;
}

/** Sizes are decimal, as in file managers: 700000 -> "700 kB". */
export function formatSize(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_500) return `${Math.round(bytes / 1000)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const date = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);

export const sameDay = (a, b) => midnight(a) === midnight(b);

export function formatDay(time) {
  const days = Math.round((midnight(Date.now()) - midnight(time)) / 86_400_000);
  return days === 0 ? 'Today' : days === 1 ? 'Yesterday' : date.format(time);
}

export const separator = (text, kind) => el(`li.separator.${kind}`, {}, el('span', {}, text));

/** Text with its links made clickable. Only http and https, and the text of a link is the link. */
function textNodes(text) {
  return text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,:;!?'()[\]])/i).map((part, index) => {
    if (index % 2 === 0) return part;
    return el('a', { href: part, target: '_blank', rel: 'noopener noreferrer' }, part);
  });
}

/** One to three emoji and nothing else are shown large. */
const isEmoji = (text) => /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\u200d\ufe0f]*\s*){1,3}$/u.test(text);

const IMAGES = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif']);

export const isImage = (file) => IMAGES.has(file.type);

/** Images become blobs of their own type, everything else an anonymous one that a browser saves and never opens. */
export const blobUrl = (data, type) => URL.createObjectURL(new Blob([data], { type: IMAGES.has(type) ? type : 'application/octet-stream' }));

/** Downloads what a blob URL points to. */
export const save = (url, name) => el('a', { href: url, download: name }).click();

const gone = (node, text) => {
  node.classList.add('gone');
  node.querySelector('small').textContent = text;
};

const visible = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    visible.unobserve(target);
    target.dispatchEvent(new Event('visible'));
  }
}, { rootMargin: '300px' });

/** An image that is loaded once it comes into sight. `load()` gives the promise of a blob URL. */
function imageNode(file, { load, open }) {
  const image = el('img', { alt: file.name });
  const button = el('button.image', { type: 'button', title: file.name, ariaLabel: `Image ${file.name}, show larger` },
    el('small', {}, `${file.name} · ${formatSize(file.size)}`));
  button.addEventListener('visible', async () => {
    try {
      image.src = await load();
      await image.decode();
      button.replaceChildren(image);
      button.classList.add('loaded');
    } catch (error) {
      gone(button, `${file.name} · ${error.message === 'no such file' ? 'no longer on the server' : 'could not be shown'}`);
    }
  });
  button.onclick = () => {
    if (button.classList.contains('loaded')) open(file, image.src);
  };
  visible.observe(button);
  return button;
}

function fileNode(file, { load }) {
  const button = el('button.file', { type: 'button', title: `Download ${file.name}` }, icon('file'),
    el('span', {}, el('bdi', {}, file.name), el('small', {}, formatSize(file.size))));
  button.onclick = async () => {
    try {
      save(await load(), file.name);
    } catch (error) {
      gone(button, error.message === 'no such file' ? 'no longer on the server' : 'could not be downloaded, try again');
    }
  };
  return button;
}

/**
 * A message. `load(file)` gets a file's content as blob URL, `open(file, url)` shows an image large. The node is made once; `setStatus` and
 * `setGrouped` change it.
 */
export function messageNode(message, own, { load, open }) {
  const files = message.files.map((file) => (isImage(file) ? imageNode : fileNode)(file, { load: () => load(file), open }));
  const images = files.filter((node) => node.classList.contains('image'));
  const others = files.filter((node) => !node.classList.contains('image'));
  const bubble = el('div.bubble', {},
    own ? null : el('bdi.author', {}, message.from.name),
    images.length ? el(`div.images.${images.length === 1 ? 'one' : 'many'}`, {}, ...images) : null,
    ...others,
    message.text ? el(`p.text${isEmoji(message.text) && !files.length ? '.emoji' : ''}`, { dir: 'auto' }, ...textNodes(message.text)) : null,
    el('span.meta', {}, el('time', {}), own ? el('span.tick') : null));
  if (!own) bubble.querySelector('.author').style.setProperty('--hue', hue(message.from.name));
  const node = el(`li.message${own ? '.own' : ''}`, {}, own ? null : avatar(message.from.name), bubble);
  setTime(node, message.at);
  return node;
}

export function setTime(node, at) {
  const time = node.querySelector('time');
  time.dateTime = new Date(at).toISOString();
  time.textContent = clock.format(at);
  time.title = new Date(at).toLocaleString();
}

const STATUS = {
  waiting: ['clock', 'Waiting for the connection'],
  sending: ['clock', 'Sending'],
  sent: ['check', 'Delivered'],
  failed: ['alert', 'Not sent'],
};

export function setStatus(node, status) {
  const [name, title] = STATUS[status];
  node.dataset.status = status;
  node.querySelector('.tick').replaceChildren(icon(name), el('span.hidden-text', {}, title));
  node.querySelector('.tick').title = title;
}

/** Under a message that was refused: why, and what one can do. */
export function setProblem(node, text, { retry, discard }) {
  node.querySelector('.problem')?.remove();
  if (!text) return;
  node.append(el('div.problem', { role: 'alert' }, el('span', {}, text),
    el('button', { type: 'button', onclick: retry }, 'Try again'), el('button', { type: 'button', onclick: discard }, 'Remove')));
}

export function roomItem({ name, members, unread, current }, onclick) {
  const label = [`Room ${name}`, members === 1 ? '1 person' : `${members} people`];
  if (unread) label.push(unread === 1 ? '1 unread message' : `${unread} unread messages`);
  const button = el('button.room', { type: 'button', ariaLabel: label.join(', '), onclick }, el('span.hash', {}, '#'), el('span.room-name', {}, name),
    unread ? el('span.badge', {}, unread > 99 ? '99+' : unread) : el('span.count', { title: label[1] }, members || ''));
  button.dataset.room = name;
  if (current) button.setAttribute('aria-current', 'true');
  return el('li', {}, button);
}

export const personItem = (member, isMe, isTyping) => el('li.person', {}, avatar(member.name),
  el('bdi', {}, member.name), isMe ? el('small', {}, 'you') : isTyping ? el('small.is-typing', {}, 'typing') : null);

/** A file that waits above the message box. */
export function stagedItem(file, url, remove) {
  return el('li', {}, url ? el('img', { src: url, alt: '' }) : icon('file'), el('span', {}, el('bdi', {}, file.name), el('small', {}, formatSize(file.size))),
    el('button.icon-button', { type: 'button', ariaLabel: `Remove ${file.name}`, onclick: remove }, icon('close')));
}

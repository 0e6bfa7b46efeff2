/**
 * The box in which messages are written: text, files, and what is left unfinished in each room. It checks everything against the server's limits
 * before anything is sent, and hands complete messages to `send`.
 */
import * as view from './view.js';

const $ = (id) => document.getElementById(id);

/** The server's rules; its `welcome` brings them up to date. */
export const limits = { text: 2000, files: 10, fileBytes: 700_000, messageBytes: 2_000_000, rooms: 8 };

const drafts = new Map();            // by room: { room, text, files: [{ file, content, url }] }
let draft = null;                    // the one on screen
let typingSince = 0;                 // when we last said that we are typing
let hooks = null;

/** `send({ text, files })` takes a message, `typing(room, typing)` tells the room. */
export function startComposer(given) {
  hooks = given;
}

/** Puts the unfinished message of a room on screen; null: of none. */
export function edit(room) {
  if ((draft?.room ?? null) === room) return;
  sayTyping(false);
  if (draft) draft.text = $('text').value;
  if (room && !drafts.has(room)) drafts.set(room, { room, text: '', files: [] });
  draft = drafts.get(room) ?? null;
  $('text').value = draft?.text ?? '';
  $('text').placeholder = room ? `Message #${room}` : '';
  notice('');
  showStaged();
  grow();
}

/** Says what is wrong, above the box. Empty: nothing is. */
export function notice(text) {
  $('notice').hidden = !text;
  $('notice').replaceChildren(...(text ? [view.icon('alert'), view.el('span', {}, text),
    view.el('button.icon-button', { type: 'button', ariaLabel: 'Dismiss', onclick: () => notice('') }, view.icon('close'))] : []));
}

function send() {
  const text = $('text').value.replace(/\r\n?/g, '\n').replace(/[^\P{Cc}\n\t]/gu, '').trim();
  if (!draft || (!text && !draft.files.length)) return;
  const length = [...text].length;
  if (length > limits.text) return notice(`This message has ${length} characters. ${limits.text} is the most.`);
  const { files } = draft;
  draft.files = [];
  $('text').value = '';
  typingSince = 0; // the message itself tells the others that the typing is over
  notice('');
  showStaged();
  grow();
  hooks.send({ text, files });
}

function sayTyping(typing) {
  if (!draft || (typing ? Date.now() - typingSince < 3000 : !typingSince)) return;
  typingSince = typing ? Date.now() : 0;
  hooks.typing(draft.room, typing);
}

/** The box is as high as its text, up to a limit that style.css sets. */
function grow() {
  const box = $('text');
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight}px`;
  const length = [...box.value].length;
  $('counter').hidden = length < limits.text * 0.9;
  $('counter').textContent = `${length} / ${limits.text}`;
  $('counter').classList.toggle('over', length > limits.text);
  $('send').disabled = !draft || (!box.value.trim() && !draft.files.length);
}

/** What is wrong with a file that is to join these, or null. */
function problemOf(file, files) {
  const most = view.formatSize(limits.fileBytes);
  if (file.size > limits.fileBytes) return `“${file.name}” is too large: ${view.formatSize(file.size)}, and ${most} is the most a file can have.`;
  if (!file.size) return `“${file.name}” is empty.`;
  if (files.reduce((sum, other) => sum + other.file.size, file.size) <= limits.messageBytes) return null;
  return `“${file.name}” would be too much for one message: ${view.formatSize(limits.messageBytes)} is the most its files can have together.`;
}

/** Takes files into the draft, as far as the limits allow. */
async function attach(list) {
  if (!draft) return;
  const { files, room } = draft;
  const problems = [];
  for (const file of list) {
    if (files.length >= limits.files) {
      problems.push(`A message can carry ${limits.files} files at most.`);
      break;
    }
    const problem = problemOf(file, files);
    const content = problem ? null : await file.arrayBuffer().catch(() => null);
    if (content) files.push({ file, content, url: view.isImage(file) ? view.blobUrl(content, file.type) : null });
    else problems.push(problem ?? `“${file.name}” cannot be read.`);
  }
  if (draft?.room !== room) return;
  notice(problems.join(' '));
  showStaged();
  grow();
  $('text').focus();
}

function showStaged() {
  const files = draft?.files ?? [];
  $('staged').hidden = !files.length;
  $('staged').replaceChildren(...files.map((entry) => view.stagedItem(entry.file, entry.url, () => {
    files.splice(files.indexOf(entry), 1);
    showStaged();
    grow();
    $('text').focus();
  })));
}

$('text').oninput = () => {
  grow();
  sayTyping($('text').value.trim() !== '');
};
$('text').onkeydown = (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
};
$('composer').onsubmit = (event) => {
  event.preventDefault();
  send();
  $('text').focus();
};

$('attach').onclick = () => $('file').click();
$('file').onchange = () => {
  attach([...$('file').files]);
  $('file').value = '';
};
$('text').onpaste = (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  attach([...event.clipboardData.files]);
};
for (const type of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    $('drop').hidden = type === 'drop' || !draft || (type === 'dragleave' && !event.relatedTarget);
    if (type === 'drop') attach([...event.dataTransfer.files]);
  });
}

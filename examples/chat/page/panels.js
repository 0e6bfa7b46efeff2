/**
 * The parts of the page that come and go: the two panels, which slide in where the window is narrow, the dialog with an image, and what
 * tells of the connection.
 */
import { el } from './view.js';

const $ = (id) => document.getElementById(id);

export const narrow = matchMedia('(max-width: 760px)');
const medium = matchMedia('(max-width: 1080px)');

function openPanel(name) {
  closePanels();
  $(`${name}-panel`).classList.add('open');
  $('app').classList.add('with-panel');
  $(`open-${name}`).setAttribute('aria-expanded', 'true');
  $('scrim').hidden = false;
  layout();
  $(`${name}-panel`).querySelector('[data-close]').focus();
}

export function closePanels() {
  const open = document.querySelector('.panel.open');
  if (!open) return;
  open.classList.remove('open');
  $('app').classList.remove('with-panel');
  $('scrim').hidden = true;
  layout();
  const opener = $(`open-${open.id.split('-')[0]}`);
  opener.setAttribute('aria-expanded', 'false');
  opener.focus();
}

/** What cannot be seen cannot be reached by the keyboard either. */
function layout() {
  const open = document.querySelector('.panel.open');
  $('rooms-panel').inert = narrow.matches && open !== $('rooms-panel');
  $('people-panel').inert = medium.matches && open !== $('people-panel');
  $('conversation').inert = Boolean(open);
}

for (const query of [narrow, medium]) query.onchange = () => (closePanels(), layout());
$('open-rooms').onclick = () => openPanel('rooms');
$('open-people').onclick = () => openPanel('people');
$('scrim').onclick = closePanels;
for (const button of document.querySelectorAll('[data-close]')) button.onclick = closePanels;
$('skip').onclick = (event) => {
  event.preventDefault();
  $('text').focus();
};

export function openLightbox(file, url) {
  $('lightbox-image').src = url;
  $('lightbox-image').alt = file.name;
  $('lightbox-name').textContent = file.name;
  $('lightbox-save').href = url;
  $('lightbox-save').download = file.name;
  $('lightbox').showModal();
}
$('lightbox-close').onclick = () => $('lightbox').close();
$('lightbox').onclick = ({ target }) => {
  if (target === $('lightbox')) $('lightbox').close(); // beside the image
};

addEventListener('keydown', ({ key }) => key === 'Escape' && closePanels());
layout();

let countdown = null;

/**
 * `connecting` (`first`: there is nothing to lose yet), `online` over `transport`, `reconnecting` at the time `until`, `ended` by the server, or
 * `refused` with a `message`.
 */
export function showConnection(state, { first, transport, until, message } = {}) {
  clearInterval(countdown);
  const carrier = transport === 'websocket' ? 'WebSocket' : transport;
  const text = {
    online: 'Online', connecting: 'Connecting', reconnecting: 'Reconnecting', ended: 'Disconnected', refused: 'Refused',
  }[state];
  $('status').dataset.state = state;
  $('status-text').replaceChildren(text, ...(state === 'online' ? [el('span.detail', {}, ` · ${carrier}`)] : []));
  $('status').title = state === 'online' ? `Connected over ${transport === 'polling' ? 'HTTP long-polling' : carrier}` : '';
  $('app').dataset.state = state;
  const tick = () => {
    const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1000));
    $('banner-text').textContent = `No connection. Trying again in ${seconds} s; what you write waits until then.`;
  };
  $('banner').hidden = state === 'online' || (state === 'connecting' && first);
  $('retry-now').hidden = state === 'connecting';
  $('retry-now').textContent = state === 'reconnecting' ? 'Try now' : 'Connect again';
  if (state === 'connecting') $('banner-text').textContent = 'No connection. Trying again now …';
  if (state === 'ended') $('banner-text').textContent = 'The server ended this connection. Perhaps you opened the chat in another window.';
  if (state === 'refused') $('banner-text').textContent = `The server refused the connection: ${message}`;
  if (state === 'reconnecting' && until) {
    tick();
    countdown = setInterval(tick, 250);
  }
}

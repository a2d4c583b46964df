// Keeps the counts of a running dispatch up to date. Every event is the whole state, and every sentence
// comes from the server, so nothing here can drift from what a reload would show.
"use strict";
(() => {
  const box = document.querySelector("[data-live]");
  if (!box || !window.EventSource) return;

  const SAY_EVERY_MS = 10_000;
  const numbers = new Intl.NumberFormat("en");
  const state = box.querySelector("[data-live-state]");
  const voice = box.querySelector("[data-live-said]");
  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  let waiting = null; // the newest sentence nobody has heard yet
  let quiet = false;
  const speak = () => {
    if (quiet || waiting === null) return;
    voice.textContent = waiting;
    waiting = null;
    quiet = true;
    setTimeout(() => { quiet = false; speak(); }, SAY_EVERY_MS);
  };

  const drawChannel = (row) => {
    const item = box.querySelector(`[data-channel="${row.channel}"]`);
    item.hidden = row.total === 0;
    const bar = item.querySelector("progress");
    bar.max = Math.max(row.total, 1);
    bar.value = row.settled;
    for (const place of item.querySelectorAll("[data-count]")) {
      place.textContent = numbers.format(row[place.dataset.count]);
    }
  };

  const made = (name, text, look = "") => {
    const element = document.createElement(name);
    element.textContent = text;
    if (look) element.className = look;
    return element;
  };

  const drawHeadline = (parts) => {
    const spans = parts.flatMap((part) => [made("span", part.text, part.mood), " "]);
    document.querySelector("[data-headline]").replaceChildren(...spans);
  };

  const drawTiles = (tiles) => {
    const boxes = tiles.map(([name, value, explained]) => {
      const box = document.createElement("div");
      const told = document.createElement("dd");
      told.append(made("strong", value), made("span", explained, "small"));
      box.append(made("dt", name), told);
      return box;
    });
    document.querySelector("[data-tiles]").replaceChildren(...boxes);
  };

  const drawNotice = (notice) => {
    const place = document.querySelector("[data-notice]");
    if (!place || !notice) return;
    place.className = `verdict ${notice.mood}`;
    place.textContent = notice.text;
  };

  const put = (selector, text) => {
    const place = document.querySelector(selector);
    if (place && text) place.textContent = text;
  };

  const source = new EventSource(box.dataset.live);
  source.addEventListener("progress", (event) => {
    const now = JSON.parse(event.data);
    now.channels.forEach(drawChannel);
    drawHeadline(now.headline);
    drawTiles(now.tiles);
    drawNotice(now.notice);
    document.querySelector("[data-stale]")?.remove();
    put("[data-counted]", now.counted);
    put("[data-state]", now.state);
    say(`As of ${now.at}, kept up to date.`);
    waiting = now.said;
    speak();
  });
  source.addEventListener("end", () => {
    source.close();
    say("Sending is over and nothing moves any more.");
  });
  source.addEventListener("error", () => {
    say(source.readyState === EventSource.CLOSED
      ? "These numbers have stopped moving."
      : "The connection was lost; trying again.");
  });
})();

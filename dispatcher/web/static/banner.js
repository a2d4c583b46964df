// The banner: streamed items in a shadow DOM, as plain text. Needs script-src and connect-src only.
"use strict";

(() => {
  const DISMISSED = "tidings:dismissed";
  const REMEMBERED = 50;
  const HIDDEN_LIMIT_MS = 5 * 60_000;
  const RETRY_LIMIT_MS = 60_000;
  const WORDS = {
    info: "Notice", minor: "Minor incident", major: "Major incident", critical: "Critical incident",
    maintenance: "Maintenance",
  };
  const STYLE = `
    :host { all: initial; display: block; position: sticky; top: 0; z-index: var(--tidings-z, 2147483000);
      font: var(--tidings-font, 16px/1.45 system-ui, sans-serif); }
    .item { display: flex; gap: .75rem; align-items: flex-start; padding: .75rem 1rem;
      color: #16181d; background: #fff4e0; border-bottom: 3px solid #8a4b00; }
    .item[data-severity=major], .item[data-severity=critical] { background: #fdecec; border-color: #b91c1c; }
    .item[data-severity=info], .item[data-severity=maintenance] { background: #e8f0ff; border-color: #1d4ed8; }
    .item[data-severity=resolved] { background: #e6f6ec; border-color: #14532d; }
    p { margin: 0; flex: 1; overflow-wrap: anywhere; }
    a { color: inherit; }
    button { font: inherit; color: inherit; background: none; border: 1px solid currentColor; border-radius: 6px;
      min-width: 44px; min-height: 44px; cursor: pointer; }
    :is(a, button):focus-visible { outline: 3px solid currentColor; outline-offset: 2px; }
    @media (prefers-color-scheme: dark) {
      .item { color: #f1f3f7; background: #3a2a10; }
      .item[data-severity=major], .item[data-severity=critical] { background: #4a1717; }
      .item[data-severity=info], .item[data-severity=maintenance] { background: #17264a; }
      .item[data-severity=resolved] { background: #12351f; }
    }
    @media print { :host { display: none; } }`;

  const readDismissed = () => {
    try { return JSON.parse(localStorage.getItem(DISMISSED) || "{}"); } catch { return {}; }
  };
  const rememberDismissed = (id, revision) => {
    const known = Object.entries({ ...readDismissed(), [id]: revision }).slice(-REMEMBERED);
    try { localStorage.setItem(DISMISSED, JSON.stringify(Object.fromEntries(known))); } catch { /* private mode */ }
  };

  class TidingsBanner extends HTMLElement {
    items = new Map();
    onReceipt = () => {};

    constructor() {
      super();
      const root = this.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
      // Live regions must be there, empty, before anything is announced in them.
      this.loud = this.region("alert");
      this.polite = this.region("status");
      root.append(this.loud, this.polite);
    }

    region(role) {
      const box = document.createElement("div");
      box.setAttribute("role", role);
      return box;
    }

    render() {
      const dismissed = readDismissed();
      const wanted = [...this.items.values()].filter((item) => !(dismissed[item.id] >= item.revision));
      for (const box of [this.loud, this.polite]) {
        for (const shown of [...box.children]) {
          const item = wanted.find((one) => one.id === shown.dataset.id);
          if (!item || this.boxOf(item) !== box) shown.remove();
        }
      }
      for (const item of wanted) this.show(item);
    }

    boxOf(item) { return item.severity === "critical" ? this.loud : this.polite; }

    show(item) {
      const box = this.boxOf(item);
      const before = [...box.children].find((one) => one.dataset.id === item.id);
      if (before && Number(before.dataset.revision) === item.revision) return;
      const made = this.make(item);
      if (before) before.replaceWith(made); else box.append(made);
      this.onReceipt(item, "displayed");
    }

    make(item) {
      const box = document.createElement("div");
      box.className = "item";
      box.part = "item";
      box.lang = item.lang;
      Object.assign(box.dataset, { id: item.id, revision: item.revision, severity: item.severity });
      const text = document.createElement("p");
      const title = document.createElement("strong");
      // The title of what is resolved says so itself.
      title.textContent = item.severity === "resolved" ? item.title : `${WORDS[item.severity]}: ${item.title}`;
      text.append(title, ` ${item.body} `);
      if (/^https:\/\//.test(item.url) || item.url.startsWith(`${location.origin}/`)) text.append(this.link(item));
      box.append(text);
      if (item.dismissible) box.append(this.closer(item));
      return box;
    }

    link(item) {
      const link = document.createElement("a");
      link.href = item.url;
      link.rel = "noopener";
      link.textContent = item.link_text;
      link.addEventListener("click", () => this.onReceipt(item, "clicked"));
      return link;
    }

    closer(item) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "✕";
      button.setAttribute("aria-label", `Dismiss: ${item.title}`);
      button.addEventListener("click", () => {
        rememberDismissed(item.id, item.revision);
        this.render();
        this.onReceipt(item, "dismissed");
      });
      return button;
    }
  }
  customElements.define("tidings-banner", TidingsBanner);

  class Stream {
    constructor(base, token, banner) {
      Object.assign(this, { base, token, banner, lastId: "", retry: 1000, hiddenTimer: 0, aborter: null });
      banner.onReceipt = (item, event) => this.acknowledge(item, event);
      document.addEventListener("visibilitychange", () => {
        clearTimeout(this.hiddenTimer);
        if (document.hidden) this.hiddenTimer = setTimeout(() => this.aborter?.abort(), HIDDEN_LIMIT_MS);
      });
    }

    headers(more) { return { Authorization: `Bearer ${this.token}`, ...more }; }

    acknowledge(item, event) {
      fetch(`${this.base}/v1/banner/receipts`, {
        method: "POST",
        keepalive: true,
        headers: this.headers({ "Content-Type": "application/json" }),
        body: JSON.stringify({ id: item.id, revision: item.revision, event }),
      }).catch(() => {});
    }

    // Resolves with the status that ended it: 204 nothing to wait for, 401 a new token is needed.
    async run() {
      for (;;) {
        if (document.hidden) {
          await new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }));
          continue;
        }
        const status = await this.connect().catch(() => 0);
        if (status === 204 || status === 401 || status === 403) return status;
        await new Promise((go) => setTimeout(go, this.retry * (0.7 + Math.random() * 0.6)));
        this.retry = Math.min(this.retry * 2, RETRY_LIMIT_MS);
      }
    }

    async connect() {
      this.aborter = new AbortController();
      const resume = this.lastId ? { "Last-Event-ID": this.lastId } : {};
      const answer = await fetch(`${this.base}/v1/banner/stream`, {
        headers: this.headers({ Accept: "text/event-stream", ...resume }),
        signal: this.aborter.signal,
        cache: "no-store",
      });
      if (answer.status !== 200) return answer.status;
      this.retry = 1000;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return 200;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.read(block);
      }
    }

    read(block) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("retry")) this.retry = Number(field("retry"));
      if (field("data") === undefined) return;
      const data = JSON.parse(field("data"));
      const { items } = this.banner;
      switch (field("event")) {
        case "snapshot":
          items.clear();
          for (const item of data.items) items.set(item.id, item);
          break;
        case "upsert": items.set(data.id, data); break;
        case "remove": items.delete(data.id); break;
      }
      this.lastId = field("id") || this.lastId;
      this.banner.render();
    }
  }

  const addBanner = (mount) => {
    const banner = document.createElement("tidings-banner");
    mount.prepend(banner);
    return banner;
  };

  window.showTidingsBanner = (token, { base = location.origin, mount = document.body } = {}) =>
    new Stream(base, token, addBanner(mount)).run();

  const tokenFrom = async (url) => {
    const answer = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
    return answer.ok ? (await answer.json()).token : null;
  };

  // <script async src=".../banner/v1.js" data-token-url="/me/banner-token" data-mount="#banner">
  const showFor = async ({ src, dataset: { token, tokenUrl, mount } }) => {
    if (document.readyState === "loading") {
      await new Promise((go) => document.addEventListener("DOMContentLoaded", go, { once: true }));
    }
    const place = (mount && document.querySelector(mount)) || document.body;
    const stream = new Stream(new URL("..", src).href.replace(/\/$/, ""), token, addBanner(place));
    for (let retry = 1000; ; retry = Math.min(retry * 2, RETRY_LIMIT_MS)) {
      if (tokenUrl) stream.token = await tokenFrom(tokenUrl).catch(() => null);
      const began = Date.now();
      // 204: nothing will ever concern this user; without a fresh token to ask for, there is no more to do.
      if (stream.token && ((await stream.run()) === 204 || !tokenUrl)) return;
      if (Date.now() - began > RETRY_LIMIT_MS) retry = 1000;
      await new Promise((go) => setTimeout(go, retry * (0.7 + Math.random() * 0.6)));
    }
  };

  const tag = document.currentScript;
  if (tag?.dataset.token || tag?.dataset.tokenUrl) showFor(tag);
})();

// Comfort only: everything works without this file.
"use strict";

// Times in the reader's zone, UTC on hover.
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const seconds = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit",
});

function localize(time, format) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) return;
  if ("ago" in time.dataset) {
    time.title = seconds.format(at) + " · " + time.title;
  } else {
    time.textContent = format.format(at);
  }
}

document.querySelectorAll("time[datetime]").forEach((time) => {
  localize(time, time.closest(".log") ? seconds : clock);
});

document.querySelectorAll("title[data-at]").forEach((title) => {
  title.textContent = clock.format(new Date(title.dataset.at)) + ": " + title.dataset.summary;
});

// Copying, also on plain http, where browsers offer no clipboard to scripts.
function copyOf(input) {
  if (navigator.clipboard && window.isSecureContext) {
    return navigator.clipboard.writeText(input.value);
  }
  input.focus();
  input.select();
  return document.execCommand("copy") ? Promise.resolve() : Promise.reject();
}

document.querySelectorAll("[data-copy]").forEach((button) => {
  const input = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", () => {
    const said = (text) => {
      button.textContent = text;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    };
    copyOf(input).then(() => said("Copied"), () => { input.select(); said("Press Ctrl+C"); });
  });
});

document.querySelectorAll("[data-select]").forEach((input) => {
  input.addEventListener("focus", () => input.select());
});

// Choosing a tenant needs no button.
document.querySelectorAll("form[data-submit]").forEach((form) => {
  form.querySelector("button").hidden = true;
  form.querySelector("select").addEventListener("change", () => form.submit());
});

// A form is sent once.
document.querySelectorAll("form[method=post]").forEach((form) => {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
    setTimeout(() => { sent = false; }, 3000);
  });
});

// Asks again and again while the page is seen; stops when the session has ended.
function ask(url, every, take) {
  let failures = 0;
  async function once() {
    if (document.visibilityState === "visible") {
      try {
        const answer = await fetch(url(), { headers: { accept: "application/json" }, redirect: "error" });
        if (answer.ok) {
          take(await answer.json());
          failures = 0;
        } else {
          failures += 1;
        }
      } catch {
        failures += 1;
      }
    }
    if (failures < 10) setTimeout(once, every * (1 + failures));
  }
  setTimeout(once, every);
}

// The panel that waits for the first request.
const heard = document.querySelector("[data-live]");
if (heard) {
  ask(() => heard.dataset.live, 500, (news) => {
    const put = (element, text) => {
      if (element.textContent !== text) element.textContent = text;
    };
    heard.className = "heard " + news.state;
    put(heard.querySelector(".said"), news.text);
    put(heard.querySelector(".advice"), news.advice);
    put(heard.querySelector(".also"), news.also);
    heard.querySelectorAll(".marks li").forEach((mark, index) => {
      mark.className = news.marks[index].state;
      put(mark.querySelector("span"), news.marks[index].text);
    });
  });
}

// New requests on top of the log.
const log = document.querySelector("[data-tail]");
if (log) {
  const template = document.getElementById("line");
  const state = document.getElementById("tail-state");
  const pause = document.getElementById("tail-pause");
  const address = new URL(log.dataset.tail, location.href);
  let paused = false;
  state.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
  });
  const paragraph = (text, name) => {
    const made = document.createElement("p");
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const row = (line) => {
    const made = template.content.firstElementChild.cloneNode(true);
    const [time, tag, link, name, outcome] = made.firstElementChild.children;
    time.dateTime = line.at;
    time.title = line.at.slice(0, 19).replace("T", " ") + " UTC";
    localize(time, seconds);
    tag.textContent = line.status;
    if (line.failed || line.status < 400) tag.classList.add(line.failed ? "bad" : "good");
    link.textContent = line.request;
    link.href = "/console/log/" + line.seq;
    name.textContent = line.name;
    outcome.textContent = line.outcome + " · " + line.sender;
    if (line.failed) {
      made.className = "bad";
      made.append(paragraph(line.reason));
    }
    if (line.advice) made.append(paragraph(line.advice, "advice"));
    if (line.others) made.append(paragraph(line.others, "muted"));
    return made;
  };
  ask(() => address.href, 1000, (news) => {
    if (paused) return;
    for (const line of news.lines) {
      log.prepend(row(line));
      address.searchParams.set("after", line.seq);
      if (log.children.length > 200) log.lastElementChild.remove();
    }
    const empty = document.querySelector(".empty");
    if (empty && news.lines.length > 0) empty.remove();
  });
}

// Fetches the page anew and lets it flow into what is shown: focus, selection and what is unfolded stay.
// No connection stays open between two looks, so that a worker that leaves is not held up by us.
"use strict";
(() => {
  const SHORTEST = 2, LONGEST = 60;
  const status = document.getElementById("live");
  const said = document.getElementById("live-said");
  const news = document.getElementById("live-news");
  let pause = SHORTEST, failures = 0, busy = false;

  const tell = (mood, text) => {
    const look = `live ${mood}`.trim();
    // Read out only when it changes how things stand, not every few seconds.
    if (status.className !== look) news.textContent = mood ? text : "live again";
    status.className = look;
    if (said.textContent !== text) said.textContent = text;
  };
  const keep = {
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    beforeNodeMorphed: (node) => !(node.dataset && "chart" in node.dataset) && !(node.id && node.id.startsWith("readout-")),
  };

  async function look() {
    const answer = await fetch(location.pathname, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(30000) });
    if (answer.status === 401) return tell("lost", "signed out; reload to sign in"), null;
    if (answer.status === 429 || answer.status >= 500) throw new Error(String(answer.status));
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = next.getElementById("report");
    if (!fresh) throw new Error("not a report");
    Idiomorph.morph(document.getElementById("report"), fresh.innerHTML, { morphStyle: "innerHTML", callbacks: keep });
    document.title = next.title;
    leakguard.update();
    tell("", next.getElementById("live-said").textContent);
    return Number(answer.headers.get("Leakguard-Refresh")) || 5;
  }

  async function round() {
    if (busy || document.hidden) return; // one at a time; what is hidden is picked up again below
    busy = true;
    try {
      const next = await look();
      if (next === null) return;
      failures = 0;
      pause = next;
    } catch {
      failures += 1;
      pause = Math.min(SHORTEST * 2 ** failures, LONGEST);
      tell("waiting", "no answer; trying again");
    } finally {
      busy = false;
    }
    clearTimeout(timer);
    timer = setTimeout(round, pause * 1000);
  }
  let timer = setTimeout(round, SHORTEST * 1000);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) round();
  });
})();

// One console: noVNC's core, and what a person needs around it.

import {$, ask, put, putOrHide, putState} from "./common.js";
import {askCredentials, paste} from "./dialogs.js";

const {novnc, may} = document.body.dataset;

/** Close code of a console that somebody, or a limit, has ended (RFC 6455, "policy"). */
const ENDED = 1008;
const LONGEST_WAIT = 15;

let rfb = null;
let watching = may === "watch";
/** What let us in the last time. */
let credentials = null;

// --- what the bar and the notice say

function showNotice(sentence, outlook = "", {again = false, logIn = false} = {}) {
  put($("sentence"), sentence);
  putOrHide($("outlook"), outlook);
  $("again").hidden = !again;
  $("log-in").hidden = !logIn;
  $("log-in").href = `/login?next=${encodeURIComponent(location.pathname)}`;
  $("notice").hidden = false;
}

function showConnected(connected) {
  if (connected) {
    $("notice").hidden = true;
    putState($("state"), "running");
  }
  for (const button of document.querySelectorAll(".control")) button.disabled = !connected;
}

function showMode() {
  $("watch").hidden = !watching;
  for (const button of document.querySelectorAll(".control")) button.hidden = watching;
}

function told({title, host, state, may}) {
  put($("title"), title);
  put($("host"), host);
  putState($("state"), state);
  watching = may === "watch";
  showMode();
}

// --- one connection

/**
 * Connect, and come back when that has ended.
 * @param {string} wrong why the last password was not taken; empty if none was asked for
 * @returns {Promise<{shown: boolean, refusal: string, reason: string, code: number, wrong: string}>}
 *   whether there was a screen; why the VNC server, or the endpoint in its place, let nobody in; why
 *   the connection was closed, and the close code; why a password was not taken
 */
function connection(wrong) {
  return new Promise((resolve) => {
    const end = {shown: false, refusal: "", reason: "", code: 0, wrong: ""};
    const url = new URL("websockify", location);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    const socket = new WebSocket(url);
    // noVNC keeps to itself why it was closed.
    socket.addEventListener("close", ({code, reason}) => {
      end.code ||= code;
      end.reason ||= reason;
    });
    let tried = null;
    rfb = new RFB($("screen"), socket, {shared: true});
    rfb.viewOnly = watching;
    rfb.scaleViewport = true;
    rfb.background = "";
    rfb.addEventListener("connect", () => {
      end.shown = true;
      credentials = tried;
      showConnected(true);
      if (!document.querySelector("dialog[open]")) rfb.focus();
    });
    rfb.addEventListener("credentialsrequired", async ({detail}) => {
      tried = credentials ?? (await askCredentials(detail.types, wrong));
      credentials = null;
      if (end.code) return;  // it has ended meanwhile
      if (tried) rfb.sendCredentials(tried);
      else {
        end.reason = "This VM asks for a VNC password.";
        end.code = ENDED;
        rfb.disconnect();
      }
    });
    rfb.addEventListener("securityfailure", ({detail}) => {
      end.refusal = detail.reason || "the VNC server refused the connection";
      if (tried) end.wrong = said(end.refusal);
    });
    rfb.addEventListener("disconnect", () => {
      showConnected(false);
      for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close("");
      resolve(end);
    });
  });
}

// --- between two connections

/** Wait, or until the button is pressed or the page is looked at again. */
function pause(seconds) {
  return new Promise((resolve) => {
    const done = (pressed) => {
      clearTimeout(timer);
      $("again").onclick = document.onvisibilitychange = null;
      resolve(pressed);
    };
    const timer = seconds === Infinity ? 0 : setTimeout(done, 1000 * seconds, false);
    $("again").onclick = () => done(true);
    document.onvisibilitychange = () => {
      if (!document.hidden && seconds !== Infinity) done(false);
    };
  });
}

/** Return a reason as it was said; QEMU's end with a NUL. */
function said(reason) {
  return reason.replace(/\p{Cc}+/gu, " ").trim();
}

const MISSING = {
  401: "You are logged out.",
  404: "There is no such console, or you may not open it.",
};

/** Say why there is no screen. */
function explain(end, {status, data}) {
  const why = data
    ? said(end.refusal) || data.sentence || said(end.reason)
    : MISSING[status] ?? "The gateway does not answer.";
  showNotice(
    why || "There is no connection to this console.",
    data && !data.sentence ? "Connecting again …" : "It is shown here as soon as it can be.",
    {again: Boolean(data), logIn: status === 401},
  );
}

/** Say why there is no screen, and wait until it is worth another try. */
async function readmission(end, failures) {
  let wait = Math.min(2 ** failures, LONGEST_WAIT);
  for (let barred = false; ;) {
    const answer = await ask("state.json");
    const {data} = answer;
    if (data) told(data);
    else putState($("state"), "unknown");
    const open = data && !data.sentence;
    if (open && barred) return;
    if (data && end.code === ENDED) {
      // Somebody meant it: no coming back without being asked to.
      showNotice(said(end.reason) || "The console was ended.", "", {again: true});
      await pause(Infinity);
      const now = await ask("state.json");
      if (now.data) told(now.data);
      return;
    }
    explain(end, answer);
    if ((await pause(data?.sentence ? 2 : wait)) || open) return;
    barred = true;
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

async function run() {
  let failures = 0;
  let wrong = "";
  for (;;) {
    const end = await connection(wrong);
    wrong = end.wrong;
    if (wrong) continue;  // the next question is for another password
    failures = end.shown ? 0 : failures + 1;
    await readmission(end, failures);
    showNotice("Connecting …");
  }
}

/** Load the page again: of what its modules miss, a page may fetch nothing a second time. */
async function reload(error) {
  console.error(error);
  const end = {refusal: "", reason: "noVNC could not be loaded.", code: 0};
  const [{type}] = performance.getEntriesByType("navigation");
  const failures = type === "reload" ? Infinity : 1;
  // A page that is loaded while there is no gateway does not come back by itself.
  do await readmission(end, failures); while (!(await ask("state.json")).data);
  location.reload();
  return new Promise(() => {});
}

// --- buttons

$("ctrl-alt-del").onclick = () => {
  rfb.sendCtrlAltDel();
  rfb.focus();
};
$("paste").onclick = async () => {
  await paste(rfb, novnc);
  rfb.focus();
};
$("full-screen").onclick = async () => {
  await $("stage").requestFullscreen();
  // Chromium then gives Escape, Alt-Tab and the like to the VM; holding Escape leaves.
  await navigator.keyboard?.lock?.().catch(() => {});
  rfb?.focus();
};
document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement) navigator.keyboard?.unlock?.();
});

showMode();
const {default: RFB} = await import(`${novnc}/core/rfb.js`).catch(reload);
await run();

// The console's two dialogs.

import {$, put, putOrHide} from "./common.js";
import {doubtful, type} from "./keys.js";

/** Open a dialog; return how it was closed, "" for cancelled. */
function opened(dialog) {
  dialog.returnValue = "";
  dialog.querySelector("[value=cancel]").onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), {once: true});
  });
}

/**
 * Ask for what a VNC server wants to know.
 * @param {string[]} types as in noVNC's event
 * @param {string} wrong why the last answer was not taken
 * @returns {Promise<{username: string, password: string} | null>} null if somebody gave up
 */
export async function askCredentials(types, wrong) {
  putOrHide($("password-error"), wrong);
  $("user-field").hidden = !types.includes("username");
  $("vnc-password").value = "";
  if (!(await opened($("password-dialog")))) return null;
  const found = {username: $("vnc-user").value, password: $("vnc-password").value};
  $("vnc-password").value = "";
  return found;
}

/**
 * Ask for a text and type it into a VM, until that is done or somebody stops it.
 * @param {RFB} rfb noVNC's, connected
 * @param {string} novnc where noVNC's files are
 */
export async function paste(rfb, novnc) {
  const dialog = $("paste-dialog");
  const text = $("paste-text");
  const progress = $("paste-progress");
  const [cancel, start] = dialog.querySelectorAll("button");
  const stop = new AbortController();

  text.value = "";
  text.readOnly = false;
  start.disabled = progress.hidden = true;
  put(cancel, "Cancel");
  put($("paste-doubt"), "");
  text.oninput = () => {
    start.disabled = !text.value;
    const lost = doubtful(text.value).join(" ");
    put($("paste-doubt"), lost && `The VM may not get these: ${lost}`);
  };
  start.onclick = async (event) => {
    event.preventDefault();
    text.readOnly = start.disabled = true;
    progress.hidden = false;
    put(cancel, "Stop");
    cancel.focus();
    const {default: keysyms} = await import(`${novnc}/core/input/keysymdef.js`);
    const [bar, count] = progress.children;
    await type(rfb, keysyms.lookup, text.value, stop.signal, (done, all) => {
      bar.max = all;
      bar.value = done;
      put(count, `${done} of ${all} keys; Escape stops it.`);
    });
    if (!stop.signal.aborted) dialog.close("");
  };
  // Whatever has the focus now has it back at once when the dialog is closed, before any key comes.
  rfb.focus();
  await opened(dialog);
  stop.abort();
  text.value = "";
}

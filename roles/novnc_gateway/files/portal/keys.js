// Text as key presses, on a US keyboard.

/** Time for a guest to take a key. BIOS and boot loaders keep no more than 15 that are waiting. */
const MILLISECONDS = 30;

const SHIFT = 0xffe1, RETURN = 0xff0d, TAB = 0xff09;
const SHIFTED = new Set('ABCDEFGHIJKLMNOPQRSTUVWXYZ~!@#$%^&*()_+{}|:"<>?');

/** Return the characters that a US keyboard does not have, each once. */
export function doubtful(text) {
  return [...new Set(text.replace(/[\n\t\x20-\x7e]/g, ""))];
}

/** Return whether a character is one that no key makes. */
function mute(character) {
  return /[^\n\t\P{C}]/u.test(character);
}

/**
 * Type a text.
 * @param {RFB} rfb noVNC's, connected
 * @param {(character: number) => number} keysymOf noVNC's table
 * @param {string} text
 * @param {AbortSignal} stop ends it before the next key; none stays pressed
 * @param {(done: number, all: number) => void} tell called after each key
 */
export async function type(rfb, keysymOf, text, stop, tell) {
  const characters = [...text.replace(/\r\n?/g, "\n")].filter((character) => !mute(character));
  for (const [done, character] of characters.entries()) {
    if (stop.aborted) return;
    const keysym = {"\n": RETURN, "\t": TAB}[character] ?? keysymOf(character.codePointAt(0));
    const shifted = SHIFTED.has(character);
    if (shifted) rfb.sendKey(SHIFT, "ShiftLeft", true);
    rfb.sendKey(keysym, null);
    if (shifted) rfb.sendKey(SHIFT, "ShiftLeft", false);
    tell(done + 1, characters.length);
    await new Promise((resolve) => setTimeout(resolve, MILLISECONDS));
  }
}

// What the pages' scripts share.

export const $ = (id) => document.getElementById(id);

/**
 * Ask the gateway something.
 * @param {string} url
 * @returns {Promise<{status: number, data: any}>} status 0: it does not answer
 */
export async function ask(url) {
  try {
    const answer = await fetch(url, {
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(10_000),
    });
    const data = answer.ok ? await answer.json() : null;
    return {status: answer.status, data};
  } catch {
    return {status: 0, data: null};
  }
}

/** Put a text where it is another one, so that nothing is laid out again for nothing. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Put a text, or hide its place where there is none. */
export function putOrHide(element, text) {
  put(element, text);
  element.hidden = !text;
}

/** Show a VM's state. */
export function putState(element, state) {
  put(element, state);
  element.dataset.state = state;
}

/**
 * UTF-8 for k6, whose JavaScript has no TextEncoder and TextDecoder.
 *
 * The build puts these two in the place of the globals of the same names. The
 * MessagePack library does short strings by itself; only long ones come here.
 */

export class TextEncoder {
  encodeInto(text, target) {
    const bytes = unescape(encodeURIComponent(text)); // one character a byte
    for (let at = 0; at < bytes.length; at += 1) {
      target[at] = bytes.charCodeAt(at);
    }
    return { read: text.length, written: bytes.length };
  }
}

export class TextDecoder {
  decode(bytes) {
    const pieces = [];
    // A call takes only so many arguments.
    for (let at = 0; at < bytes.length; at += 4096) {
      pieces.push(String.fromCharCode.apply(null, bytes.subarray(at, at + 4096)));
    }
    return decodeURIComponent(escape(pieces.join('')));
  }
}

// A picture of a QR code, told as a path of `size` modules, with the bright margin that cameras need.
export function qrCode({ size, path }, label) {
  const named = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const margin = 4;
  const side = size + 2 * margin;
  const picture = named("svg", { viewBox: `${-margin} ${-margin} ${side} ${side}`, role: "img", "aria-label": label, class: "qr" });
  picture.append(named("path", { d: path }));
  return picture;
}

// Words, numbers and dates in a language. What is missing in one fails a test.

export const LANGUAGES = {
  en: "English", sr: "Srpski", "sr-Cyrl": "Српски", hr: "Hrvatski", sl: "Slovenščina", de: "Deutsch",
};
const UNITS = [["days", 86_400], ["hours", 3_600], ["minutes", 60]]; // in seconds
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufefc]/; // Hebrew, Arabic and their neighbours
const files = {}, made = {};

const fileOf = async (name) => (await fetch(`/page/${name}.json`)).json();

// The words of a language that `LANGUAGES` has: what the cashier page says at once, and `more`, what another page says
// or a panel. Each file is fetched once.
export async function wordsOf(language, more = []) {
  const names = ["words", ...more].map((name) => `${name}-${language}`);
  try {
    const texts = await Promise.all(names.map((name) => (files[name] ??= fileOf(name))));
    return (made[names] ??= new Words(Object.assign({}, ...texts)));
  } catch (error) {
    for (const name of names) delete files[name]; // the register is away: they are asked for again
    throw error;
  }
}

// A browser makes the first of these in 20 to 30 ms: none is made before something is written with it.
const FORMATS = {
  plural: (locale) => new Intl.PluralRules(locale),
  plain: (locale) => new Intl.NumberFormat(locale, { useGrouping: "always" }),
  withSign: (locale) => new Intl.NumberFormat(locale, { useGrouping: "always", signDisplay: "exceptZero" }),
  percent: (locale) => new Intl.NumberFormat(locale, { style: "percent" }),
  time: (locale) => new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hour12: false }),
  day: (locale) => new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" }),
  dayOfYear: (locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium" }),
};

class Words {
  #made = {};

  constructor(texts) {
    this.texts = texts;
    this.locale = texts.locale;
  }

  #by(name) {
    return this.#made[name] ??= FORMATS[name](this.locale);
  }

  // Has all of them made, while there is time.
  ready() {
    for (const name of Object.keys(FORMATS)) this.#by(name);
  }

  has(key) {
    return key in this.texts;
  }

  // A text with its {values}; where it has plural forms, `n` chooses and is written as a number.
  say(key, values = {}) {
    const text = this.texts[key];
    const template = typeof text === "string" ? text : text[this.form(Math.abs(values.n))];
    return template.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name] ?? "";
      if (typeof value === "number") return this.number(value);
      return RIGHT_TO_LEFT.test(value) ? `\u2068${value}\u2069` : String(value);
    });
  }

  // Which of its plural forms the language takes for a number.
  form(value) {
    return this.#by("plural").select(value);
  }

  number(value) {
    return this.#by("plain").format(value);
  }

  signed(value) {
    return this.#by("withSign").format(value).replace("-", "\u2212");
  }

  money(minor, digits, currency) {
    const format = new Intl.NumberFormat(this.locale, {
      useGrouping: "always", minimumFractionDigits: digits, maximumFractionDigits: digits,
    });
    return `${format.format(Math.abs(minor) / 10 ** digits)}\u00a0${currency}`;
  }

  // What a reward takes off: money, a part of the goods' price, or a piece of them.
  off({ discount_minor: minor, discount_percent: percent, piece_minor: price }, digits, currency) {
    if (minor !== null) return this.money(minor, digits, currency);
    if (percent !== null) return this.#by("percent").format(percent / 100);
    return price ? this.say("piece_for", { total: this.money(price, digits, currency) }) : this.say("piece_free");
  }

  // The time of day, with its day where that is not today, and the year where that is not this one.
  clock(time) {
    const moment = new Date(time), hour = this.#by("time").format(moment);
    return moment.toDateString() === new Date().toDateString() ? hour : `${this.date(time)} ${hour}`;
  }

  date(time) {
    const moment = new Date(time), isThisYear = moment.getFullYear() === new Date().getFullYear();
    return this.#by(isThisYear ? "day" : "dayOfYear").format(moment);
  }

  span(seconds) {
    const [unit, long] = UNITS.find(([, long]) => seconds >= long) ?? ["seconds", 1];
    return this.say(unit, { n: Math.floor(seconds / long) });
  }
}

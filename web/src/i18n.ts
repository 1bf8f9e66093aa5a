import { createI18n } from 'vue-i18n'
import { en, type Messages } from './locales/en'

/** The languages of the pages, each by its own name. */
export const languages = { en: 'English', zh: '简体中文' } as const
export type Language = keyof typeof languages

const REMEMBERED = 'tally.language'
/** What the page says it is in: the script of the Chinese here is part of that. */
const TAGS: Record<Language, string> = { en: 'en', zh: 'zh-Hans' }

function isLanguage(name: string | null | undefined): name is Language {
  return typeof name === 'string' && Object.hasOwn(languages, name)
}

/** The first of the wanted languages that there is, in any of its varieties; English if there is none. */
export function chooseLanguage(wanted: readonly string[]): Language {
  const primary = wanted.map((tag) => tag.toLowerCase().split('-')[0])
  return primary.find(isLanguage) ?? 'en'
}

/** What somebody chose here before; a browser that keeps nothing for pages is asked each time anew. */
function remembered(): Language | null {
  try {
    const name = localStorage.getItem(REMEMBERED)
    return isLanguage(name) ? name : null
  } catch {
    return null
  }
}

/** Its texts are loaded when somebody reads it. */
async function load(language: Language): Promise<Messages> {
  return language === 'zh' ? (await import('./locales/zh')).zh : en
}

export function createTexts(language: Language = 'en', messages: Messages = en) {
  return createI18n({
    legacy: false,
    locale: language,
    fallbackLocale: 'en',
    messages: { en, [language]: messages },
  })
}

export type Texts = ReturnType<typeof createTexts>

/** The texts in the language that was chosen here, or else in the browser's. */
export async function loadTexts(): Promise<Texts> {
  const language = remembered() ?? chooseLanguage(navigator.languages)
  const messages = await load(language).catch(() => null)
  const shown = messages ? language : 'en'
  document.documentElement.lang = TAGS[shown]
  return createTexts(shown, messages ?? en)
}

/** What has texts and can be told to use others. */
interface Speaker {
  locale: { value: string }
  setLocaleMessage(language: string, messages: Messages): void
}

/** Says everything in that language from now on, and on later visits. */
export async function speak(texts: Speaker, language: Language) {
  texts.setLocaleMessage(language, await load(language))
  texts.locale.value = language
  document.documentElement.lang = TAGS[language]
  try {
    localStorage.setItem(REMEMBERED, language)
  } catch {
    // Then it holds for this visit.
  }
}

import { provideClient } from '@urql/vue'
import { createApp, h, provide } from 'vue'
import App from './App.vue'
import { createClient } from './client'
import { loadTexts } from './i18n'
import { createSiteRouter } from './router'
import { createSession, sessionKey } from './session'
import './style/site.css'

const { client, reconnect } = createClient(() => void session.refresh())
const session = createSession(client, reconnect)
void session.refresh()

void loadTexts().then((texts) =>
  createApp({
    setup() {
      provideClient(client)
      provide(sessionKey, session)
      return () => h(App)
    },
  })
    .use(texts)
    .use(createSiteRouter(texts))
    .mount('#app'),
)

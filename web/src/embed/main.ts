import { provideClient } from '@urql/vue'
import { createApp, h } from 'vue'
import { createClient } from '../client'
import { loadTexts } from '../i18n'
import Embed from './Embed.vue'
import '../style/base.css'
import '../style/parts.css'
import '../style/watch.css'
import './embed.css'

// A page of its own, without the site's routes: other sites may put it into a frame, and from there
// nothing can be reached where somebody could be tricked into pressing what they do not see.
const loc = window.location.pathname.split('/')[2] ?? ''
const { client } = createClient(() => {})

void loadTexts().then((texts) =>
  createApp({
    setup() {
      provideClient(client)
      return () => h(Embed, { loc })
    },
  })
    .use(texts)
    .mount('#app'),
)

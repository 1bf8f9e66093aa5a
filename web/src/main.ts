import { provideClient } from '@urql/vue'
import { createApp, h } from 'vue'
import App from './App.vue'
import { createClient } from './client'
import { router } from './router'
import './site.css'

const client = createClient()

createApp({
  setup() {
    provideClient(client)
    return () => h(App)
  },
})
  .use(router)
  .mount('#app')

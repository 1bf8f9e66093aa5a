import { readonly, ref } from 'vue'

export type Connection = 'fine' | 'lost'

const state = ref<Connection>('fine')

/** Whether live updates arrive. A link that is not needed, or still being opened first, is fine. */
export const connection = readonly(state)

export function setConnection(now: Connection) {
  state.value = now
}

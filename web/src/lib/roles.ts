import type { Role } from '../graphql/graphql'

/** Each role there is, from the least to the most: one that is missing here does not compile. */
export const ROLES = Object.keys({
  VIEWER: 0,
  STREAMER: 0,
  MODERATOR: 0,
  ADMIN: 0,
} satisfies Record<Role, 0>) as Role[]

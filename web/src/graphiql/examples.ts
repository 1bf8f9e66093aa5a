const LOC = '00000000-0000-4000-8000-000000000000'

/** The tabs that a first visit opens: the documents that somebody new most likely wants to try. */
export const examples = [
  {
    query: `# Who is live, the most watched first
# (Ctrl-Enter runs it). Give eventCursor to
# streamEvents(after:) in the third tab, and
# nothing that happens in between is missed.
query LiveStreams {
  liveStreams(first: 20, orderBy: MOST_WATCHED_NOW) {
    nodes {
      name
      state
      currentViewers
      peakViewers
      startedAt
      pageUrl
      topic {
        name
      }
      channel {
        loc
        name
        owner {
          displayName
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
    eventCursor
  }
}
`,
  },
  {
    query: `# A channel of your own, with what to paste
# into OBS (Settings, Stream, Custom). Only
# streamers may have one:
#   1. Put handle and password into the
#      variables below, and run SignIn.
#   2. Copy the token of the answer into the
#      Headers tab:
#        { "Authorization": "Bearer TOKEN" }
#   3. Run CreateChannel.
# Headers count for subscriptions too: they travel in
# connection_init.
mutation CreateChannel($channel: CreateChannelInput!) {
  createChannel(input: $channel) {
    channel {
      id
      loc
      name
      # Whoever has the key can broadcast
      # as you: keep it secret.
      ingest {
        serverUrl
        streamKey
      }
    }
  }
}

mutation SignIn($signIn: SignInInput!) {
  signIn(input: $signIn) {
    token
    expiresAt
    user {
      handle
      role
    }
  }
}
`,
    variables: JSON.stringify(
      {
        signIn: { handle: 'my_handle', password: 'my password' },
        channel: { name: 'My first channel', description: 'Trying things out.', record: false },
      },
      null,
      2,
    ),
  },
  {
    query: `# Every start, stop and change of a stream, as
# it happens: run it, then start OBS. With
# "after" (an event's cursor, or an eventCursor)
# it first gives every event since. loc: or
# topic: follow one channel or topic.
subscription StreamEvents($after: String) {
  streamEvents(after: $after) {
    __typename
    cursor
    at
    stream {
      name
      state
      pageUrl
      channel {
        loc
        name
      }
    }
    ... on StreamStopped {
      reason
    }
  }
}
`,
    variables: JSON.stringify({ after: null }, null, 2),
  },
  {
    query: `# How many people watch: the present figure at
# once, then each change. The variables name 1
# to 100 channels by loc; the first tab lists
# those that are live.
subscription ViewerCount($locs: [UUID!]!) {
  viewerCountChanged(locs: $locs) {
    loc
    currentViewers
    totalViewers
    at
    channel {
      name
    }
  }
}
`,
    variables: JSON.stringify({ locs: [LOC] }, null, 2),
  },
]

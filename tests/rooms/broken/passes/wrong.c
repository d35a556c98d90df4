/* An include that the table of rooms forbids: tests/rooms.sh must fail here. */
#include "backend/backend.h"

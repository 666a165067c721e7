#include "flow/asks.h"
#include "flow/backing.h"

void hw_ask_updates(void *data, struct hw_backend_updates *ask)
{
    struct hw_backing *b = data;

    hw_hub_ask(&b->hub, ask);
}

void hw_ask_hurry(void *data, struct hw_backend_updates *ask)
{
    struct hw_backing *b = data;

    hw_hub_hurry(&b->hub, ask);
}

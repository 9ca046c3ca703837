"""Events of everyday life that no annotation speaks of: what videos show where no sentence describes them."""

from __future__ import annotations

from itertools import product

import torch

from prvr.data.simulate.texts import generator

_WHO = (
    "a man,a woman,a child,two friends,an old couple,a crowd,a dog,a cat,a waiter,a teacher,a police officer,a doctor,"
    "a chef,a driver,a singer,a reporter,a tourist,a family,a player,a neighbour,a boy in a red shirt,"
    "a girl with long hair,a man in a suit,a woman with glasses"
)
_DOES = (
    "opens the door,closes the window,drinks coffee,eats an apple,reads a newspaper,talks on the phone,looks at a map,"
    "walks down the stairs,runs across the street,rides a bicycle,drives a car,waits for the bus,plays the guitar,"
    "sings a song,dances to music,throws a ball,catches a fish,climbs a wall,swims,skis downhill,washes the dishes,"
    "cuts vegetables,stirs a pot,cleans the floor,folds clothes,packs a suitcase,writes a letter,types on a laptop,"
    "takes a picture,points at the sky,shakes hands,hugs someone,laughs out loud,cries,argues,falls asleep,"
    "puts on a jacket,ties a shoe,brushes teeth,feeds the birds,plants a tree,paints a fence,builds a tent,"
    "lights a fire,pours water into a glass,holds a baby,tries on a hat,counts money,explains a recipe,"
    "interviews a stranger"
)
_WHERE = (
    "in the kitchen,in the living room,in an office,at school,in a hospital,at the airport,on a train,in a car,"
    "on the beach,in the forest,on a mountain,by the river,in a market,in a restaurant,at a concert,in a museum,"
    "on a bridge,in the garden,in the street at night,in the rain,on a stage,in a gym,in a shop,on a boat"
)


def pool_sentences(count: int, *, seed: int) -> list[str]:
    """`count` different sentences, the same for a seed whatever the annotations are; as many as there are at most."""
    every = [" ".join(parts) for parts in product(*(part.split(",") for part in (_WHO, _DOES, _WHERE)))]
    order = torch.randperm(len(every), generator=generator(f"pool {seed}"))
    return [every[i] for i in order[:count].tolist()]

import threading
from typing import NamedTuple, Protocol, runtime_checkable
import numpy as np
class Match(NamedTuple):
    id: str
    similarity: float
@runtime_checkable
class Index(Protocol):
    pass
class ExactIndex:
    def __init__(self, width): self.d={}; self.lock=threading.Lock()
    def add(self, id, v):
        with self.lock: self.d[id]=np.asarray(v,float)
    def remove(self,id):
        with self.lock: return self.d.pop(id,None) is not None
    def search(self,v,count):
        with self.lock:
            return sorted((Match(i,float(x@v)) for i,x in self.d.items()), key=lambda m:(-m.similarity,m.id))[:count]
